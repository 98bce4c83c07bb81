package pgtest_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestBouncer(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	b := pgtest.NewBouncer(t, db, &pgtest.BouncerConfig{PoolSize: 1})
	pids := map[int]bool{}
	for range 2 {
		conn, err := pgx.Connect(t.Context(), b.DSN())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		var name string
		var pid int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database(), pg_backend_pid()").Scan(&name, &pid))
		require.Equal(t, db.Name, name)
		pids[pid] = true
	}
	require.Len(t, pids, 1, "two clients share the one connection to the server")

	require.NoError(t, b.Close())
	_, err := net.DialTimeout("tcp", b.Addr(), time.Second)
	require.Error(t, err)
	require.NoError(t, b.Close(), "again")
}
