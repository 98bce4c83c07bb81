package databasesql

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// Bun implements Repository with bun, which begins and commits its transactions itself.
type Bun struct {
	db       *bun.DB
	accounts *cache.Cache[int64, Account]
}

// NewBun returns a repository with a cache in front of the table.
func NewBun(b bus.Bus, db *bun.DB) (*Bun, error) {
	r := &Bun{db: db}
	var err error
	r.accounts, err = cache.New(b, "accounts", cache.Func(r.load), nil)
	return r, err
}

func (r *Bun) load(ctx context.Context, id int64) (a Account, err error) {
	err = r.db.NewSelect().Model(&a).Where("id = ?", id).Scan(ctx)
	return a, err
}

// Account implements Repository.
func (r *Bun) Account(ctx context.Context, id int64) (Account, error) { return r.accounts.Get(ctx, id) }

// Deposit implements Repository. It stages on the *sql.Tx inside of the bun.Tx, which saves a round trip.
func (r *Bun) Deposit(ctx context.Context, id, amount int64) error {
	var staged *bus.Staged
	err := r.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		_, err = tx.NewUpdate().Model((*Account)(nil)).Set("balance = balance + ?", amount).Where("id = ?", id).Exec(ctx)
		if err != nil {
			return err
		}
		staged, err = r.accounts.StageSQL(ctx, tx.Tx, id)
		return err
	})
	if err != nil {
		return err
	}

	staged.Committed()
	return nil
}

// Close implements Repository.
func (r *Bun) Close() error { return r.accounts.Close() }
