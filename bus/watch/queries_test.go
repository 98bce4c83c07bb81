package watch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// Every statement is embedded, loaded, and valid against the schema.
func TestQueriesPrepare(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()

	queries := watch.Queries(watch.DefaultSchema)
	n, err := watch.QueryFiles()
	require.NoError(t, err)
	require.Equal(t, n, len(queries), "a file without a use, or the reverse") //nolint:testifylint // Len would print them all

	for name, sql := range queries {
		require.NotContains(t, sql, "/*schema*/", name)
		_, err := conn.Conn().Prepare(t.Context(), name, sql)
		require.NoError(t, err, name)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	_, err := watch.New(nil, nil)
	require.ErrorIs(t, err, watch.ErrConfig)
	_, pool := setup(t)
	_, err = watch.New(pool, &watch.Config{Schema: "no;"})
	require.ErrorIs(t, err, watch.ErrConfig)
	require.ErrorContains(t, err, "Schema")
}
