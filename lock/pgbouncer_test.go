package lock_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// pgbouncer starts one in transaction mode before a database, and returns a DSN through it.
func pgbouncer(t *testing.T, db *pgtest.DB) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !isFile(program) {
			if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
				t.Fatal("pgbouncer is not on this machine, and CI has to test with it")
			}
			t.Skip("*** NOT TESTED: pgbouncer is not on this machine (Debian: apt-get install pgbouncer)")
		}
	}
	server, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())

	dir, err := os.MkdirTemp("", "pgbouncer") //nolint:usetesting // t.TempDir is below a directory that only root can enter
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	ini := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(ini, fmt.Appendf(nil, `[databases]
%s = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
`, db.Name, server.Host, server.Port, server.User, server.Password, port), 0o644))
	cmd := exec.Command(program, ini)
	if os.Geteuid() == 0 { // it refuses to run as root
		nobody, err := user.Lookup("nobody")
		require.NoError(t, err)
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		require.NoError(t, os.Chmod(dir, 0o755))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	dsn := (&url.URL{
		Scheme: "postgres", User: url.UserPassword("any", "any"), Host: net.JoinHostPort("127.0.0.1", port),
		Path: db.Name, RawQuery: "sslmode=disable&default_query_exec_mode=exec",
	}).String()
	eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err == nil
	}, "pgbouncer answers")
	return dsn
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Everything works through a transaction pooler, a few server connections for all: takes, waits, renews, guards.
func TestThroughPgbouncer(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, direct := setup(t)
	dsn := pgbouncer(t, db)
	l, _ := start(t, nil, sized(t, dsn, 8), short("a"))
	other, _ := start(t, nil, sized(t, dsn, 8), short("b"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	_, err = other.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	waiting := queue(t, ctx, other, "k", 1)
	outlive(t, direct, l, "k")
	require.NoError(t, lease.Err(), "renewed through the pooler")

	tx, err := direct.Begin(ctx) // what is guarded may go past the pooler
	require.NoError(t, err)
	require.NoError(t, lease.Guard(ctx, tx))
	require.NoError(t, lease.Release(ctx))
	tries := other.Stats().Tries
	eventually(t, func() bool { return other.Stats().Tries > tries+3 }, "it is tried")
	require.Empty(t, waiting, "still guarded")
	require.NoError(t, tx.Commit(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	require.Greater(t, o.lease.Token(), lease.Token())
	through, err := sized(t, dsn, 1).Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, o.lease.Guard(ctx, through), "or through it")
	require.NoError(t, through.Commit(ctx))
	require.NoError(t, o.lease.Release(ctx))
	var setting string
	require.NoError(t, sized(t, dsn, 1).QueryRow(ctx, "SHOW synchronous_commit").Scan(&setting))
	require.Equal(t, "on", setting, "nothing is left behind on the server's connection")
}
