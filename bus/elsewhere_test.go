package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// client returns one of Postgres' client programs.
func client(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(paths) == 0 {
		pgtest.Missing(t, "%s is not on this machine (Debian: apt-get install postgresql-client)", name)
	}
	return slices.Max(paths)
}

// dumpable starts a server that pg_dump can read: of the version under test or, where pg_dump is older than that, of its
// own, so that the dump goes to a newer version as in an upgrade.
func dumpable(t *testing.T) *pgtest.Server {
	t.Helper()
	out, err := exec.Command(client(t, "pg_dump"), "--version").Output() //nolint:gosec // a program of this machine
	require.NoError(t, err)
	match := regexp.MustCompile(`\) (\d+)`).FindSubmatch(out)
	require.NotNil(t, match, string(out))
	major, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)

	server := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	if server.Version()/10000 <= major {
		return server
	}
	bin := fmt.Sprintf("/usr/lib/postgresql/%d/bin", major)
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		pgtest.Missing(t, "a server of version %d, which pg_dump could read, is not on this machine", major)
	}
	return pgtest.NewServer(t, &pgtest.Config{Binaries: bin, Kind: pgtest.KindBinaries, Logger: quiet})
}

// copyByDump takes a database to another server by pg_dump, rows of unlogged tables included.
func copyByDump(t *testing.T, from, to string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump.sql")
	dump, err := exec.Command(client(t, "pg_dump"), "--no-owner", "-f", file, "-d", from).CombinedOutput() //nolint:gosec // a test's own servers
	require.NoError(t, err, string(dump))
	restored, err := exec.Command(client(t, "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "-d", to).CombinedOutput() //nolint:gosec // a test's own servers
	require.NoError(t, err, string(restored))
}

// emigrantRows is how many events travel along with a database.
const emigrantRows = 30000

// emigrate makes a log that has been in use and pruned, and holds many events.
func emigrate(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, makeSchema(ctx, pool))
	start(t, pool, quick("at home")).stop()
	_, err := pool.Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = pg_current_snapshot()")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, $1) AS i", emigrantRows)
	require.NoError(t, err)
}

// requireSettled requires that pods work on a log that has come from elsewhere as on a new one.
func requireSettled(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	var rows int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Equal(t, emigrantRows, rows, "the rows travel along")

	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	for i := range 20 {
		key := fmt.Sprint("settled ", i)
		publish(t, a, key)
		eventually(t, func() bool { return b.has(key) }, "delivered")
	}
	require.Equal(t, []bus.Reason{bus.ReasonStart}, b.reasons(), "a new log, and no reset after that")
	require.Equal(t, bus.Live, b.State())
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Less(t, rows, emigrantRows, "the log was emptied")
	a.stop()
	b.stop()
}

// A log that came from elsewhere means nothing here: whoever finds it empties it, and pods work as on a new one.
func TestLogFromElsewhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	open := func(s *pgtest.Server, database string) *pgxpool.Pool {
		pool, err := pgxpool.New(ctx, s.DSN(database))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	// Each pair is a server that is dumped and one that the dump goes to, of the version under test.
	high, low := dumpable(t), dumpable(t)
	higher, lower := pgtest.NewServer(t, &pgtest.Config{Logger: quiet}), pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	spend(t, open(high, ""), 20000)
	spend(t, open(higher, ""), 40000)
	emigrate(t, open(high, ""))
	emigrate(t, open(low, ""))
	_, err := open(low, "").Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = NULL")
	require.NoError(t, err)

	arrive := func(t *testing.T, from, to *pgtest.Server, database string) *pgxpool.Pool {
		_, err := open(to, "").Exec(ctx, "CREATE DATABASE "+database+" TEMPLATE template0")
		require.NoError(t, err)
		copyByDump(t, from.DSN(""), to.DSN(database))
		return open(to, database)
	}
	for name, there := range map[string]func(t *testing.T) *pgxpool.Pool{
		"to lower transaction ids": func(t *testing.T) *pgxpool.Pool { return arrive(t, high, lower, "arrived") },
		"to lower transaction ids, nothing pruned": func(t *testing.T) *pgxpool.Pool {
			pool := arrive(t, high, lower, "unpruned")
			// Of a server that does not let its identifier be read, only the rows are left to tell.
			_, err := pool.Exec(ctx, "UPDATE pgcoherence.epoch SET pruned_to = NULL, server = '-', database = (SELECT oid FROM pg_database WHERE datname = current_database())")
			require.NoError(t, err)
			return pool
		},
		"to higher transaction ids": func(t *testing.T) *pgxpool.Pool { return arrive(t, low, higher, "arrived") },
		"as a template": func(t *testing.T) *pgxpool.Pool {
			arrive(t, high, lower, "original").Close()
			_, err := open(lower, "template1").Exec(ctx, "CREATE DATABASE clone TEMPLATE original")
			require.NoError(t, err)
			return open(lower, "clone")
		},
		"as a template that was at home": func(t *testing.T) *pgxpool.Pool {
			_, err := open(lower, "").Exec(ctx, "CREATE DATABASE resident TEMPLATE template0")
			require.NoError(t, err)
			pool := open(lower, "resident")
			emigrate(t, pool)
			pool.Close()
			_, err = open(lower, "template1").Exec(ctx, "CREATE DATABASE twin TEMPLATE resident")
			require.NoError(t, err)
			return open(lower, "twin")
		},
	} {
		t.Run(name, func(t *testing.T) { requireSettled(t, there(t)) })
	}
}

// pg_upgrade takes the files of unlogged tables along as they are, and the transaction ids go on.
func TestLogAfterUpgrade(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	old := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	emigrate(t, poolOf(t, old))
	upgraded, err := old.Upgrade(ctx)
	if errors.Is(err, pgtest.ErrUnsupported) { // what is under test came without pg_upgrade: that of another version, then
		old = pgtest.NewServer(t, &pgtest.Config{Binaries: filepath.Dir(client(t, "pg_upgrade")), Kind: pgtest.KindBinaries, Logger: quiet})
		emigrate(t, poolOf(t, old))
		upgraded, err = old.Upgrade(ctx)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, upgraded.Close()) })
	requireSettled(t, poolOf(t, upgraded))
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
