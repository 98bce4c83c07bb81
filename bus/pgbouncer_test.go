package bus_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// pgbouncer starts one in transaction mode before a database, and returns a DSN through it.
func pgbouncer(t *testing.T, db *pgtest.DB) string {
	t.Helper()
	return pgtest.NewBouncer(t, db, nil).DSN()
}

func poolThrough(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
