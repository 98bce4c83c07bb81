package cachetest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

// rename is code as applications have it: it is given a transaction, changes a row and invalidates its key.
func rename(ctx context.Context, tx pgx.Tx, users *cache.Cache[string, int], key string) error {
	if _, err := tx.Exec(ctx, "UPDATE users SET name = 'x' WHERE id = $1", key); err != nil {
		return err
	}
	return users.InvalidateTx(tx, key)
}

func TestTx(t *testing.T) {
	t.Parallel()
	pods := cachetest.NewCluster(2)
	var caches []*cache.Cache[string, int]
	value := 1
	for _, b := range pods.Buses() {
		c, err := cache.New(b, "users", cache.Func(func(context.Context, string) (int, error) { return value, nil }), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		caches = append(caches, c)
	}
	read := func() (values []int) {
		for _, c := range caches {
			v, err := c.Get(t.Context(), "a")
			require.NoError(t, err)
			values = append(values, v)
		}
		return values
	}
	require.Equal(t, []int{1, 1}, read())
	value = 2

	tx, err := pods.Bus(0).Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, rename(t.Context(), tx, caches[0], "a"))
	require.Equal(t, []int{1, 1}, read(), "it is not committed")
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.Rollback(t.Context()), pgx.ErrTxClosed)
	require.Equal(t, []int{1, 1}, read())

	receipt, err := pods.Bus(0).InTx(t.Context(), func(tx *cachetest.Tx) error {
		inner, err := tx.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, rename(t.Context(), inner, caches[0], "b"))
		require.NoError(t, inner.Rollback(t.Context()))

		inner, err = tx.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, rename(t.Context(), inner, caches[0], "a"))
		return inner.Commit(t.Context())
	})
	require.NoError(t, err)
	require.NoError(t, pods.Bus(0).Confirm(t.Context(), receipt))
	require.Equal(t, []int{2, 2}, read())

	_, err = pods.Bus(0).InTx(t.Context(), func(tx *cachetest.Tx) error {
		_ = rename(t.Context(), tx, caches[0], "\x00")
		return nil
	})
	require.ErrorIs(t, err, cache.ErrKey, "although the error was dropped")
}
