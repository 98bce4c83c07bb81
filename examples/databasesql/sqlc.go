package databasesql

import (
	"context"
	"database/sql"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/examples/databasesql/sqlcdb"
)

// Sqlc implements Repository with queries that sqlc generates.
type Sqlc struct {
	db       *sql.DB
	queries  *sqlcdb.Queries
	bus      bus.SQLBus
	accounts *cache.Cache[int64, sqlcdb.Account]
}

// NewSqlc returns a repository with a cache in front of a query: a generated method that takes a key can be the loader.
func NewSqlc(b bus.SQLBus, db *sql.DB) (*Sqlc, error) {
	r := &Sqlc{db: db, queries: sqlcdb.New(db), bus: b}
	var err error
	r.accounts, err = cache.New(b, "accounts", cache.Func(r.queries.GetAccount), nil)
	return r, err
}

// Account implements Repository.
func (r *Sqlc) Account(ctx context.Context, id int64) (Account, error) {
	a, err := r.accounts.Get(ctx, id)
	return Account(a), err
}

// Deposit implements Repository.
func (r *Sqlc) Deposit(ctx context.Context, id, amount int64) error {
	_, err := r.bus.InSQL(ctx, r.db, func(tx *sql.Tx, staging *bus.Staging) error {
		if err := r.queries.WithTx(tx).Deposit(ctx, sqlcdb.DepositParams{Balance: amount, ID: id}); err != nil {
			return err
		}
		return r.accounts.InvalidateSQL(staging, id)
	})
	return err
}

// Close implements Repository.
func (r *Sqlc) Close() error { return r.accounts.Close() }
