package bus_test

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
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/pgtest"
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

func poolThrough(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
