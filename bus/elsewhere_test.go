package bus_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// spend uses up transaction ids.
func spend(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `CREATE OR REPLACE PROCEDURE spend(n int) LANGUAGE plpgsql AS
		$$ BEGIN FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "CALL spend($1)", n)
	require.NoError(t, err)
}

// copyByDump takes a database to another server by pg_dump, rows of unlogged tables included.
func copyByDump(t *testing.T, from, to string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump.sql")
	dump, err := exec.Command("pg_dump", "--no-owner", "-f", file, "-d", from).CombinedOutput() //nolint:gosec // a test's own servers
	require.NoError(t, err, string(dump))
	restored, err := exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "-d", to).CombinedOutput() //nolint:gosec // a test's own servers
	require.NoError(t, err, string(restored))
}

// A log that came from elsewhere means nothing here: whoever finds it empties it, and pods work as on a new one.
func TestLogFromElsewhere(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("pg_dump"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("NOT TESTED: needs pg_dump and psql")
		}
		t.Skip("NOT TESTED: needs pg_dump and psql")
	}
	ctx := t.Context()
	open := func(s *pgtest.Server, database string) *pgxpool.Pool {
		pool, err := pgxpool.New(ctx, s.DSN(database))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	high, low := pgtest.NewServer(t, nil), pgtest.NewServer(t, nil)
	highPool, lowPool := open(high, ""), open(low, "")
	spend(t, highPool, 20000)
	for _, pool := range []*pgxpool.Pool{highPool, lowPool} {
		require.NoError(t, makeSchema(ctx, pool))
		start(t, pool, quick("at home")).stop()
		_, err := pool.Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = pg_current_snapshot()")
		require.NoError(t, err)
		_, err = pool.Exec(ctx, "INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, 30000) AS i")
		require.NoError(t, err)
	}
	_, err := lowPool.Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = NULL")
	require.NoError(t, err)

	for name, there := range map[string]func(t *testing.T) *pgxpool.Pool{
		"to lower transaction ids": func(t *testing.T) *pgxpool.Pool {
			_, err := lowPool.Exec(ctx, "CREATE DATABASE arrived TEMPLATE template0")
			require.NoError(t, err)
			copyByDump(t, high.DSN(""), low.DSN("arrived"))
			return open(low, "arrived")
		},
		"to lower transaction ids, nothing pruned": func(t *testing.T) *pgxpool.Pool {
			_, err := lowPool.Exec(ctx, "CREATE DATABASE unpruned TEMPLATE template0")
			require.NoError(t, err)
			copyByDump(t, high.DSN(""), low.DSN("unpruned"))
			pool := open(low, "unpruned")
			// Of a server that does not let its identifier be read, only the rows are left to tell.
			_, err = pool.Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = NULL, server = '-', database = (SELECT oid FROM pg_database WHERE datname = current_database())")
			require.NoError(t, err)
			return pool
		},
		"to higher transaction ids": func(t *testing.T) *pgxpool.Pool {
			_, err := highPool.Exec(ctx, "CREATE DATABASE arrived TEMPLATE template0")
			require.NoError(t, err)
			copyByDump(t, low.DSN(""), high.DSN("arrived"))
			return open(high, "arrived")
		},
		"as a template": func(t *testing.T) *pgxpool.Pool {
			other := open(low, "template1")
			_, err := lowPool.Exec(ctx, "CREATE DATABASE original TEMPLATE template0")
			require.NoError(t, err)
			copyByDump(t, high.DSN(""), low.DSN("original"))
			_, err = other.Exec(ctx, "CREATE DATABASE clone TEMPLATE original")
			require.NoError(t, err)
			return open(low, "clone")
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := there(t)
			var rows int
			require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
			require.Equal(t, 30000, rows, "the rows travel along")

			a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
			for i := range 20 {
				key := name + string(rune('a'+i))
				publish(t, a, key)
				eventually(t, func() bool { return b.has(key) }, "delivered")
			}
			require.Equal(t, []bus.Reason{bus.ReasonStart}, b.reasons(), "a new log, and no reset after that")
			require.Equal(t, bus.Live, b.State())
			require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
			require.Less(t, rows, 30000, "the log was emptied")
			a.stop()
			b.stop()
		})
	}
}

// A log whose rows cannot be truncated, because a transaction holds them, is emptied in bits.
func TestLogFromElsewhereInUse(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	start(t, pool, quick("before")).stop()
	_, err := pool.Exec(ctx, "INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, 50000) AS i")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.epoch SET server = 'another'")
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, "LOCK TABLE pgcoherence.event IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)

	start(t, pool, quick("a"))
	var rows int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Zero(t, rows)
}
