// Package sqlcdb has the form of the code that sqlc generates from query.sql.
package sqlcdb

import (
	"context"
	"database/sql"
)

// DBTX is what the statements need of a database or a transaction.
type DBTX interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// New returns queries on a database or a transaction.
func New(db DBTX) *Queries { return &Queries{db: db} }

// Queries has a method for each statement.
type Queries struct{ db DBTX }

// WithTx returns the same queries in a transaction.
func (q *Queries) WithTx(tx *sql.Tx) *Queries { return &Queries{db: tx} }
