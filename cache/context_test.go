package cache_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

type txKey struct{}

// state is how some applications keep a transaction in a context.
type state struct {
	Tx pgx.Tx
	_  int
}

// repository reads through the transaction in the context, if there is one, as repositories do.
func repository(pool *pgxpool.Pool) cache.Loader[string, int] {
	return cache.Func(func(ctx context.Context, key string) (v int, err error) {
		var db interface {
			QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
		} = pool
		switch tx := ctx.Value(txKey{}).(type) {
		case pgx.Tx:
			db = tx
		case *state:
			db = tx.Tx
		case *pgx.Conn:
			db = tx
		}

		err = db.QueryRow(ctx, "SELECT value FROM item WHERE id = $1", key).Scan(&v)
		return v, err
	})
}

// Get within a transaction that is rolled back: what it would have been is for nobody else.
func TestContext_TransactionsAreNotShared(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	b := pod(t, pool)
	for name, wrap := range map[string]func(tx *bus.Tx) any{
		"bus.Tx":     func(tx *bus.Tx) any { return tx },
		"savepoint":  func(tx *bus.Tx) any { inner, _ := tx.Begin(context.Background()); return inner },
		"in a field": func(tx *bus.Tx) any { return &state{Tx: tx} },
		"connection": func(tx *bus.Tx) any { return tx.Conn() },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := cache.New(b, "item", repository(pool), config())
			require.NoError(t, err)
			defer c.Close()

			tx, err := b.Begin(t.Context())
			require.NoError(t, err)
			value := wrap(tx)
			update(t, tx, "1", 7)
			require.NoError(t, c.InvalidateTx(tx, "1"))
			v, err := c.Get(context.WithValue(t.Context(), txKey{}, value), "1")
			require.NoError(t, err)
			require.Equal(t, 0, v, "what is committed")
			require.NoError(t, tx.Rollback(t.Context()))

			require.Equal(t, 0, get(t, c, "1"))
			require.Positive(t, c.Stats().HiddenTransactions)
		})
	}
}

// What else of a context decides what a load reads is for LoadContext to choose.
func TestContext_LoadContextChooses(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	type trace struct{}
	seen := make(chan [2]any, 1)
	cfg := config()
	cfg.LoadContext = func(ctx context.Context) context.Context {
		return context.WithValue(context.Background(), trace{}, ctx.Value(trace{}))
	}
	c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
		seen <- [2]any{ctx.Value(tenant{}), ctx.Value(trace{})}
		_, limited := ctx.Deadline()
		require.True(t, limited, "LoadTimeout holds all the same")
		return 1, nil
	}), cfg)

	ctx := context.WithValue(context.WithValue(t.Context(), tenant{}, "acme"), trace{}, "span")
	_, err := c.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, [2]any{nil, "span"}, <-seen)
}
