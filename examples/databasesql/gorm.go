package databasesql

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// Gorm implements Repository with GORM, which begins and commits its transactions itself.
type Gorm struct {
	db       *gorm.DB
	accounts *cache.Cache[int64, Account]
}

// NewGorm returns a repository with a cache in front of the table. GORM has its own error for "not found".
func NewGorm(b bus.Bus, db *gorm.DB) (*Gorm, error) {
	r := &Gorm{db: db}
	var err error
	r.accounts, err = cache.New(b, "accounts", cache.Func(r.load), &cache.Config[int64, Account]{
		NotFound: func(err error) bool { return errors.Is(err, gorm.ErrRecordNotFound) },
	})
	return r, err
}

func (r *Gorm) load(ctx context.Context, id int64) (a Account, err error) {
	err = r.db.WithContext(ctx).First(&a, id).Error
	return a, err
}

// Account implements Repository.
func (r *Gorm) Account(ctx context.Context, id int64) (Account, error) {
	return r.accounts.Get(ctx, id)
}

// Deposit implements Repository. GORM runs the transaction's statements on Statement.ConnPool, so the event is staged there.
func (r *Gorm) Deposit(ctx context.Context, id, amount int64) error {
	var staged *bus.Staged
	err := r.db.WithContext(ctx).Transaction(func(tx *gorm.DB) (err error) {
		if err := tx.Model(&Account{}).Where("id = ?", id).Update("balance", gorm.Expr("balance + ?", amount)).Error; err != nil {
			return err
		}
		staged, err = r.accounts.StageSQL(ctx, tx.Statement.ConnPool, id)
		return err
	})
	if err != nil {
		return err
	}
	staged.Committed()
	return nil
}

// Close implements Repository.
func (r *Gorm) Close() error { return r.accounts.Close() }
