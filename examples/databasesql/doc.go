// Package databasesql shows a cache in front of a table in applications on database/sql: each file is the same repository
// by another way to the database, and its test runs them all against a real Postgres.
//
//	plain.go     database/sql itself, with lib/pq, with pgx' stdlib, or on SQLite in one process
//	sqlx.go      sqlx
//	bun.go       bun
//	gorm.go      GORM
//	sqlc.go      what sqlc generates of sqlcdb/query.sql
//	trigger.go   writers that know nothing of the cache, and a key of two columns
//
// What they have in common: bus.Open for the application that has no pool of pgx, a loader that is the repository's own
// method, and a writer that names the keys in the transaction that changes the rows.
package databasesql
