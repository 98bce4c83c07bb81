package databasesql

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// Sqlx implements Repository with sqlx.
type Sqlx struct {
	db       *sqlx.DB
	bus      bus.SQLBus
	accounts *cache.Cache[int64, Account]
}

// NewSqlx returns a repository with a cache in front of the table.
func NewSqlx(b bus.SQLBus, db *sqlx.DB) (*Sqlx, error) {
	r := &Sqlx{db: db, bus: b}
	var err error
	r.accounts, err = cache.New(b, "accounts", cache.Func(r.load), nil)
	return r, err
}

func (r *Sqlx) load(ctx context.Context, id int64) (a Account, err error) {
	err = r.db.GetContext(ctx, &a, "SELECT id, owner, balance FROM accounts WHERE id = $1", id)
	return a, err
}

// Account implements Repository.
func (r *Sqlx) Account(ctx context.Context, id int64) (Account, error) {
	return r.accounts.Get(ctx, id)
}

// Deposit implements Repository. InSQL takes the *sql.DB inside of the *sqlx.DB and passes a *sql.Tx. Named parameters are
// bound with the *sqlx.DB, because it knows the driver and the transaction does not.
func (r *Sqlx) Deposit(ctx context.Context, id, amount int64) error {
	_, err := r.bus.InSQL(ctx, r.db.DB, func(plain *sql.Tx, staging *bus.Staging) error {
		tx := &sqlx.Tx{Tx: plain}
		query, args, err := r.db.BindNamed("UPDATE accounts SET balance = balance + :amount WHERE id = :id",
			map[string]any{"amount": amount, "id": id})
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		return r.accounts.InvalidateSQL(staging, id)
	})
	return err
}

// Close implements Repository.
func (r *Sqlx) Close() error { return r.accounts.Close() }
