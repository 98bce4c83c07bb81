package compat_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// accounts is a typical repository on GORM.
type accounts struct{ db *gorm.DB }

type gormTxKey struct{}

// Account reads one row, in the transaction in ctx if there is one.
func (r *accounts) Account(ctx context.Context, id string) (a account, err error) {
	db := r.db
	if tx, ok := ctx.Value(gormTxKey{}).(*gorm.DB); ok {
		db = tx
	}
	err = db.WithContext(ctx).First(&a, "id = ?", id).Error
	return a, err
}

// TestGORM_Cache puts a cache in front of a repository on GORM.
func TestGORM_Cache(t *testing.T) {
	dsn, b, _ := running(t)
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	defer pool.Close()

	repo := &accounts{db}
	held, err := cache.New(b, "accounts", cache.Func(repo.Account), &cache.Config[string, account]{
		NotFound: func(err error) bool { return errors.Is(err, gorm.ErrRecordNotFound) },
	})
	require.NoError(t, err)
	defer held.Close()

	a, err := held.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Zero(t, a.Balance)
	_, err = held.Get(t.Context(), "unknown")
	require.ErrorIs(t, err, cache.ErrNotFound)

	// A write, and a reader within its transaction.
	var staged *bus.Staged
	require.NoError(t, db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) (err error) {
		if err := tx.Model(&account{}).Where("id = ?", "1").Update("balance", 5).Error; err != nil {
			return err
		}
		if staged, err = held.StageSQL(t.Context(), execer(tx), "1"); err != nil {
			return err
		}
		a, err := held.GetFresh(context.WithValue(t.Context(), gormTxKey{}, tx), "1")
		require.Zero(t, a.Balance, "the transaction is not the load's")
		return err
	}))
	staged.Committed()
	a, err = held.Get(t.Context(), "1")
	require.NoError(t, err)
	require.EqualValues(t, 5, a.Balance)
}
