package pgtest_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// baseBackup calls BaseBackup. Without pg_basebackup beside the server under test it uses that of this machine's server.
func baseBackup(t *testing.T, server *pgtest.Server) *pgtest.Server {
	t.Helper()
	backup, err := server.BaseBackup(t.Context())
	if errors.Is(err, pgtest.ErrUnsupported) {
		t.Skipf("\n*** NOT TESTED: %v", err) // npm's packages lack it; the machine's own server has it
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, backup.Close()) })
	return backup
}

func TestServer_BaseBackup(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, nil)
	exec(t, server.DSN(""), "create table marks (n int); insert into marks values (7)")
	backup := baseBackup(t, server)
	exec(t, server.DSN(""), "insert into marks values (8)")

	require.NoError(t, backup.Start(t.Context()))
	const identity = "select system_identifier from pg_control_system()"
	require.Equal(t, query[int64](t, server.DSN(""), identity), query[int64](t, backup.DSN(""), identity))
	require.Equal(t, 7, query[int](t, backup.DSN(""), "select max(n) from marks"))
	require.Equal(t, 8, query[int](t, server.DSN(""), "select max(n) from marks"), "the original lives")
}

func TestServer_Recover(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, &pgtest.Config{Settings: map[string]string{"archive_mode": "on"}})
	archive := filepath.Join(server.Dir(), "archive")
	exec(t, server.DSN(""), `alter system set archive_command = 'install -D "%p" "`+archive+`/%f"'`)
	exec(t, server.DSN(""), "select pg_reload_conf()")
	exec(t, server.DSN(""), "create table marks (n int)")
	backup := baseBackup(t, server)
	exec(t, server.DSN(""), "insert into marks values (1)")
	exec(t, server.DSN(""), "select pg_create_restore_point('between')")
	exec(t, server.DSN(""), "insert into marks values (2)")
	last := query[string](t, server.DSN(""), "select pg_walfile_name(pg_switch_wal())")
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(archive, last))
		return err == nil
	}, time.Minute, 10*time.Millisecond, "archived")

	require.NoError(t, backup.Recover(t.Context(), map[string]string{
		"restore_command": `cp "` + archive + `/%f" "%p"`, "recovery_target_name": "between",
	}))
	require.Equal(t, 1, query[int](t, backup.DSN(""), "select max(n) from marks"))
	exec(t, backup.DSN(""), "insert into marks values (3)")
}
