// Package redistest starts real Redis servers for tests and benchmarks. It runs the redis-server on PATH, for example from
// Debian's package redis-server. Each server has a temporary directory and listens on a socket or on a free port of the
// loopback interface. It stores nothing on disk, and ends with this process, even if that is killed.
//
// Without redis-server a test is skipped; under CI=true it fails.
package redistest
