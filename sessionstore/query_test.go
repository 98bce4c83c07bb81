package sessionstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Every statement is embedded, loaded, and valid against the schema.
func TestQueriesPrepare(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	conn, err := pgx.Connect(t.Context(), db.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	queries := sessionstore.Queries(bus.DefaultSchema)
	n, err := sessionstore.QueryFiles()
	require.NoError(t, err)
	require.Len(t, queries, n, "a file without a use, or the reverse")

	for name, sql := range queries {
		require.NotContains(t, sql, "/*schema*/", name)
		_, err := conn.Prepare(t.Context(), name, sql)
		require.NoError(t, err, name)
	}
}
