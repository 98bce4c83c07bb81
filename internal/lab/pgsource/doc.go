// Package pgsource holds the two programs by which internal/lab/pgtest gets a
// Postgres through libraries of others: container (testcontainers-go) and
// download (embedded-postgres). They are a module of their own, and pgtest runs
// them with go run, so that neither library is in the requirements of those who
// use pgcoherence.
package pgsource
