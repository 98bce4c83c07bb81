package pgtest_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// directory returns the directory that Close has to remove.
func directory(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	return filepath.Dir(query[string](t, server.DSN(""), "show data_directory"))
}

// processesWith lists the processes whose arguments name text.
func processesWith(t *testing.T, text string) []string {
	t.Helper()
	var found []string
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range paths {
		if args, err := os.ReadFile(path); err == nil && strings.Contains(string(args), text) {
			found = append(found, path+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

func TestServer_StopAndCrashKeepPortAndData(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, &pgtest.Config{Settings: map[string]string{"fsync": "on", "max_connections": "50"}})
	ctx := t.Context()
	dsn := server.DSN("")
	require.Equal(t, "on", query[string](t, dsn, "show fsync"))
	require.Equal(t, "50", query[string](t, dsn, "show max_connections"))
	require.Equal(t, "8", query[string](t, dsn, "show max_prepared_transactions"))
	require.Equal(t, "replica", query[string](t, dsn, "show wal_level"))
	exec(t, dsn, "create table logged (n int); insert into logged values (1); create unlogged table volatile (n int); insert into volatile values (1)")

	down := func(how string, down func(context.Context) error, kept int) {
		require.NoError(t, down(ctx), how)
		_, err := pgx.Connect(ctx, dsn)
		require.Error(t, err, how)
		require.NoError(t, server.Start(ctx), how)
		require.Equal(t, dsn, server.DSN(""), how)
		require.Equal(t, 1, query[int](t, dsn, "select count(*) from logged"), how)
		require.Equal(t, kept, query[int](t, dsn, "select count(*) from volatile"), how)
	}
	down("stop", server.Stop, 1)
	down("stop immediately", server.StopImmediate, 0)
	exec(t, dsn, "insert into volatile values (1)")
	// A session in a long computation does not notice its postmaster's death.
	busy := connect(t, dsn)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = busy.Exec(ctx, "do $$ begin loop end loop; end $$") }()
	require.Eventually(t, func() bool {
		return query[bool](t, dsn, "select exists (select from pg_stat_activity where query like 'do $$%' and state = 'active' and pid <> pg_backend_pid())")
	}, 5*time.Second, 10*time.Millisecond)
	down("crash", server.Crash, 0)
	<-ended

	exec(t, dsn, "insert into volatile values (1)")
	require.NoError(t, server.Restart(ctx, pgtest.Fast))
	require.Equal(t, 1, query[int](t, dsn, "select count(*) from volatile"))
	require.NoError(t, server.Restart(ctx, pgtest.Immediate))
	require.Equal(t, 0, query[int](t, dsn, "select count(*) from volatile"))

	require.NoError(t, server.Start(ctx), "a running server stays as it is")
	require.NoError(t, server.Stop(ctx))
	require.NoError(t, server.Stop(ctx), "a stopped server stays as it is")
	require.ErrorIs(t, server.Crash(ctx), pgtest.ErrNotRunning)
	require.ErrorIs(t, server.KillBackend(1), pgtest.ErrNotRunning)
	require.ErrorIs(t, server.Promote(ctx), pgtest.ErrNotRunning)
}

func TestServer_KillBackend(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, nil)
	dsn := server.DSN("")
	require.ErrorContains(t, server.KillBackend(os.Getpid()), "is not a backend of this server")
	victim, witness := connect(t, dsn), connect(t, dsn)
	require.NoError(t, server.KillBackend(int(victim.PgConn().PID())))

	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return victim.Ping(ctx) != nil && witness.Ping(ctx) != nil
	}, 5*time.Second, 10*time.Millisecond, "all sessions end with one that is killed")

	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	}, 10*time.Second, 20*time.Millisecond, "and the server recovers by itself")
}

func TestServer_CloseLeavesNothing(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	ctx := t.Context()
	for _, state := range []string{"running", "stopped", "crashed"} {
		server, err := pgtest.Start(ctx, &pgtest.Config{Crashable: true})
		require.NoError(t, err)
		dir := directory(t, server)
		switch state {
		case "stopped":
			require.NoError(t, server.Stop(ctx))
		case "crashed":
			require.NoError(t, server.Crash(ctx))
		}
		require.NoError(t, server.Close(), state)
		require.NoDirExists(t, dir, state)
		require.Empty(t, processesWith(t, dir), state)

		require.NoError(t, server.Close(), "a second Close does nothing")
		require.ErrorIs(t, server.Start(ctx), pgtest.ErrClosed)
		require.ErrorIs(t, server.Crash(ctx), pgtest.ErrClosed)
	}
}

func TestServer_StartErrorQuotesTheServerLog(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	_, err := pgtest.Start(t.Context(), &pgtest.Config{Kind: pgtest.KindBinaries, Settings: map[string]string{"work_mem": "plenty"}})
	require.ErrorIs(t, err, pgtest.ErrUnavailable)
	require.ErrorContains(t, err, `invalid value for parameter "work_mem"`)
}
