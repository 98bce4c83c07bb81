// Package redistest starts real Redis servers for tests and benchmarks: Debian's package redis-server, or any
// redis-server on PATH. Each server lives in a temporary directory, on a socket or a free port of the loopback interface,
// keeps nothing on disk, and ends with the process however that ends.
//
// Where there is no redis-server, a test is skipped loudly; with CI=true it fails.
package redistest
