package compat_test

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m).Run()) }

type account struct {
	ID      string `gorm:"primaryKey"`
	Balance int64
}

// running returns a database with a table of accounts, a running bus, and a function that reports whether it has received a key.
func running(t *testing.T) (dsn string, b *bus.Postgres, heard func(key string) bool) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	db := pgtest.New(t, &pgtest.Template{Name: "compat", Make: func(ctx context.Context, dsn string) error {
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		defer pool.Close()

		if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
			return err
		}

		_, err = pool.Exec(ctx, "CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL); INSERT INTO accounts VALUES ('1', 0), ('2', 0)")
		return err
	}})
	b, err := bus.NewPostgres(db.Pool(t), &bus.Config{Logger: quiet, SweepInterval: 20 * time.Millisecond})
	require.NoError(t, err)
	var mu sync.Mutex
	keys := map[string]bool{}
	t.Cleanup(b.Subscribe("accounts", bus.SubscriberFuncs{OnInvalidate: func(d bus.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		for _, key := range d.Keys {
			keys[key] = true
		}
	}}))

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	<-b.Ready()
	return db.DSN, b, func(key string) bool {
		mu.Lock()
		defer mu.Unlock()
		return keys[key]
	}
}

const patience = 30 * time.Second

// TestGORM stages events in a transaction that GORM owns.
func TestGORM(t *testing.T) {
	t.Parallel()
	dsn, b, heard := running(t)
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })

	var staged *bus.Staged
	deposit := func(id string, fail error) error {
		return db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) (err error) {
			if err := tx.Model(&account{}).Where("id = ?", id).Update("balance", gorm.Expr("balance + 1")).Error; err != nil {
				return err
			}
			if staged, err = b.StageSQL(t.Context(), execer(tx), bus.Event{Topic: "accounts", Keys: []string{id}}); err != nil {
				return err
			}
			return fail
		})
	}
	require.NoError(t, deposit("1", nil))
	require.False(t, staged.Committed().IsZero())
	require.Eventually(t, func() bool { return heard("1") }, patience, time.Millisecond)

	require.ErrorIs(t, deposit("2", io.ErrUnexpectedEOF), io.ErrUnexpectedEOF)
	require.NoError(t, deposit("1", nil))
	require.False(t, heard("2"), "what was rolled back was never published")
}

// execer returns the connection on which GORM runs the statements of a transaction.
func execer(tx *gorm.DB) bus.SQLExecer { return tx.Statement.ConnPool }

// TestPQ uses the driver lib/pq.
func TestPQ(t *testing.T) {
	t.Parallel()
	dsn, b, heard := running(t)
	db, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	receipt, err := b.InSQL(t.Context(), db, func(tx *sql.Tx, s *bus.Staging) error {
		s.Invalidate("accounts", `quo"ted`, "é")
		_, err := tx.Exec("UPDATE accounts SET balance = 7 WHERE id = $1", "1")
		return err
	})
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	require.Eventually(t, func() bool { return heard(`quo"ted`) && heard("é") }, patience, time.Millisecond)
}
