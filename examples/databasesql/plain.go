package databasesql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// Plain implements Repository with database/sql itself. The driver is lib/pq or pgx's stdlib. With bus.NewLocal it may be
// any driver, such as one for SQLite. The bus is an interface, so the application is written once.
type Plain struct {
	db       *sql.DB
	bus      bus.SQLBus
	accounts *cache.Cache[int64, Account]
}

// NewPlain returns a repository with a cache in front of the table.
func NewPlain(b bus.SQLBus, db *sql.DB) (*Plain, error) {
	r := &Plain{db: db, bus: b}
	var err error
	r.accounts, err = cache.New(b, "accounts", cache.Func(r.load), nil)
	return r, err
}

// load is the cache's loader. sql.ErrNoRows is "not found".
func (r *Plain) load(ctx context.Context, id int64) (a Account, err error) {
	err = r.db.QueryRowContext(ctx, "SELECT id, owner, balance FROM accounts WHERE id = $1", id).Scan(&a.ID, &a.Owner, &a.Balance)
	return a, err
}

// Account implements Repository.
func (r *Plain) Account(ctx context.Context, id int64) (Account, error) {
	return r.accounts.Get(ctx, id)
}

// Deposit implements Repository. The invalidation commits with the change or not at all.
func (r *Plain) Deposit(ctx context.Context, id, amount int64) error {
	_, err := r.bus.InSQL(ctx, r.db, func(tx *sql.Tx, staging *bus.Staging) error {
		done, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + $1 WHERE id = $2", amount, id)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("account %d: %w", id, cache.ErrNotFound)
		}
		return r.accounts.InvalidateSQL(staging, id)
	})
	return err
}

// Close implements Repository.
func (r *Plain) Close() error { return r.accounts.Close() }
