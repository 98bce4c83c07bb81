package storetest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// patience bounds every wait of a test. It is long enough for a slow machine, and only reached by a failure.
const patience = 30 * time.Second

// Quiet returns a logger that keeps expected warnings out of the test's output.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Template returns a template with the tables of bus and sessionstore, after which it executes the statements in more.
func Template(name string, more ...string) *pgtest.Template {
	return &pgtest.Template{Name: name, Make: func(ctx context.Context, dsn string) error {
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		defer pool.Close()

		if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: Quiet()}); err != nil {
			return err
		}
		if err := sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: Quiet()}); err != nil {
			return err
		}

		for _, sql := range more {
			if _, err := pool.Exec(ctx, sql); err != nil {
				return err
			}
		}

		return nil
	}}
}

// NewBus returns a bus with the short intervals of QuickBus.
func NewBus(t testing.TB, pool *pgxpool.Pool, name string) *bus.Postgres {
	t.Helper()
	b, err := bus.NewPostgres(pool, QuickBus(name))
	require.NoError(t, err)
	return b
}

// RunBus runs a bus until halt is called or the test ends. It returns when the bus is in sync.
func RunBus(t testing.TB, b *bus.Postgres) (halt func()) {
	t.Helper()
	halt = Background(t, b.Run)
	select {
	case <-b.Ready():
	case <-time.After(patience):
		require.Fail(t, "bus is not ready")
	}
	return halt
}

// QuickBus returns a config with short intervals.
func QuickBus(name string) *bus.Config {
	return &bus.Config{
		Name: name, Logger: Quiet(),
		StaleAfter: 3 * time.Second, BeatInterval: 200 * time.Millisecond, SweepInterval: 30 * time.Millisecond,
	}
}

// Background calls run in a goroutine. Its context ends when stop is called or the test ends.
func Background(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()

	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, patience, 5*time.Millisecond, what)
}
