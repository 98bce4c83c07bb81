// Package databasesql shows a cache in front of a table in applications on database/sql. Each file implements the same
// repository with another library. The test runs all of them on a real Postgres.
//
//	plain.go     database/sql itself, with lib/pq, with pgx's stdlib, or on SQLite in one process
//	sqlx.go      sqlx
//	bun.go       bun
//	gorm.go      GORM
//	sqlc.go      the code that sqlc generates from sqlcdb/query.sql
//	trigger.go   writers without this library, and a key of two columns
//
// In all of them bus.Open makes the bus for an application without a pgx pool, the loader is a method of the repository, and
// the writer names the keys in the transaction that changes the rows.
package databasesql
