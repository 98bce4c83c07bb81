package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// envRecovery says that the recoveries are to run. They take minutes, and programs that only make test-recovery installs.
const envRecovery = "PGCOHERENCE_RECOVERY"

// asked skips a recovery, loudly, where it is not asked for.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv(envRecovery) == "" {
		t.Skipf("\n*** NOT TESTED: %s: set %s=1, as make test-recovery does", t.Name(), envRecovery)
	}
}

// password is the same on all servers, as with roles that move along.
const password = "recovery"

func startServer(t *testing.T, binaries string, settings map[string]string) *pgtest.Server {
	t.Helper()
	return pgtest.NewServer(t, &pgtest.Config{
		Kind: pgtest.KindBinaries, Binaries: binaries, Password: password, Settings: settings, Logger: quiet,
	})
}

func closeAtEnd(t *testing.T, s *pgtest.Server) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
}

// worldOn starts pods on a server, by an address that can be led to another one.
func worldOn(t *testing.T, s *pgtest.Server, off guards) (*world, *route) {
	t.Helper()
	migrate(t, s.DSN(""))
	r := &route{}
	r.lead(t, s.DSN(""))
	return newWorld(t, func(name string) *pod { return startPod(t, name, s.DSN(""), r, off) }), r
}

func execOn(t *testing.T, dsn, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func queryOn[T any](t *testing.T, dsn, sql string, args ...any) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// TestPointInTime: the server is lost, and its backup is recovered from the archive up to a transaction before the last
// ones. It goes on in a new timeline, with the same system identifier, and gives the same transaction ids again.
func TestPointInTime(t *testing.T) {
	asked(t)
	p := playPointInTime(t, guards{}, false)
	p.w.leases(p.fresh)
	p.w.conclude("point-in-time", fmt.Sprintf("timeline %d to %d, %d keys and %d sessions lost", p.from, p.to, p.keys, p.sessions), everyKind...)
}

// TestControl: the same with the guards off, and everything that a recovery is checked for is found: the pods' buses
// ignore that the epoch is another, the database passes for the one that granted before, the recovery goes back to
// before the revocations, leases are neither renewed nor given up, and events are not received.
func TestControl(t *testing.T) {
	asked(t)
	off := guards{bus: hook.Guards{IgnoreEpoch: true}, lock: hook.LockGuards{OutliveTTL: true}, deaf: true, idle: true}
	p := playPointInTime(t, off, true)
	p.w.leases(p.fresh)

	_, broken := p.w.ledger.result()
	var found []string
	for _, k := range []kind{stale, back, went, kept, missing} {
		require.NotEmpty(t, broken[k], "not found: %s", k)
		found = append(found, string(k))
	}
	fmt.Printf("RECOVERY control: with the guards off the point-in-time recovery fails as it must: %s\n", strings.Join(found, ", "))
}

// pointInTime is how one was played.
type pointInTime struct {
	w              *world
	fresh          *pod
	from, to       int // timelines
	keys, sessions int // lost
}

const timeline = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"

// playPointInTime plays it; sabotaged where it has to fail.
func playPointInTime(t *testing.T, off guards, sabotaged bool) (p pointInTime) {
	t.Helper()
	ctx := t.Context()
	server := startServer(t, "", map[string]string{"archive_mode": "on"})
	archive := filepath.Join(server.Dir(), "archive")
	execOn(t, server.DSN(""), fmt.Sprintf("ALTER SYSTEM SET archive_command = 'install -D \"%%p\" \"%s/%%f\"'", archive))
	execOn(t, server.DSN(""), "SELECT pg_reload_conf()")

	w, r := worldOn(t, server, off)
	if sabotaged {
		w.impatient = 2 * leaseTTL
	}
	backup, err := server.BaseBackup(ctx)
	require.NoError(t, err)
	closeAtEnd(t, backup)

	w.work()
	const point = "WITH i AS (INSERT INTO guarded VALUES ($1) RETURNING token) SELECT pg_current_xact_id()::text FROM i"
	tooEarly := queryOn[string](t, server.DSN(""), point, -1)
	w.revoke()
	target := queryOn[string](t, server.DSN(""), point, -2)
	if sabotaged {
		target = tooEarly
	}
	w.beyond()
	w.note()
	p = pointInTime{w: w, from: queryOn[int](t, server.DSN(""), timeline)}
	stop := w.reading()
	defer stop()

	// All that has been written is archived, and then the server is lost.
	file := queryOn[string](t, server.DSN(""), "SELECT pg_walfile_name(pg_switch_wal())")
	w.eventually(func() bool {
		_, err := os.Stat(filepath.Join(archive, file))
		return err == nil
	}, "%s is archived", file)
	require.NoError(t, server.Crash(ctx))
	at := time.Now()

	require.NoError(t, backup.Recover(ctx, map[string]string{
		"restore_command":     fmt.Sprintf(`cp "%s/%%f" "%%p"`, archive),
		"recovery_target_xid": target,
		"archive_command":     "true", // another server's archive is another place
	}))
	p.to = queryOn[int](t, backup.DSN(""), timeline)
	require.Greater(t, p.to, p.from)
	p.keys = w.truth(backup.DSN(""), at)
	require.Equal(t, keyCount, p.keys, "the recovery went back")
	if sabotaged {
		execOn(t, backup.DSN(""), `UPDATE pgcoherence.incarnation SET server = pg_postmaster_start_time(),
			database = current_database(), relation = 'pgcoherence.lease'::regclass`)
		spend(t, backup.DSN(""), 5000) // pods would see that transaction ids went back, which is another guard
	}

	r.lead(t, backup.DSN(""))
	if sabotaged {
		w.eventually(func() bool { return w.allLive() }, "pods that ignore epochs are live")
		time.Sleep(2 * staleAfter) // reads go on: what is stale now is beyond the bound
	} else {
		w.settled()
	}
	p.fresh = w.after("point in time")
	p.sessions = w.fate(p.fresh, at)
	if !sabotaged {
		require.Len(t, w.lost, p.sessions, "sessions from after the point are lost")
	}
	w.restOfReads()
	return p
}

// TestBaseBackup: a backup is put to use while the original lives on: the same system identifier, the same timeline, and
// transaction ids that both give. Pods are led to it one connection after the other, as by a changed name: the ones that
// listen to the original hear nothing of what happens on the copy.
func TestBaseBackup(t *testing.T) {
	asked(t)
	ctx := t.Context()
	server := startServer(t, "", nil)
	w, r := worldOn(t, server, guards{})
	w.work()
	w.revoke()

	backup, err := server.BaseBackup(ctx)
	require.NoError(t, err)
	closeAtEnd(t, backup)
	w.beyond()
	w.note()
	stop := w.reading()
	defer stop()

	require.NoError(t, backup.Start(ctx))
	const identity = "SELECT system_identifier::text FROM pg_control_system()"
	require.Equal(t, queryOn[string](t, server.DSN(""), identity), queryOn[string](t, backup.DSN(""), identity))
	keys := w.truth(backup.DSN(""), time.Now().Add(patience)) // not yet: pods are still on the original, rightly
	require.Equal(t, keyCount, keys)

	r.lead(t, backup.DSN(""))
	const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name NOT LIKE 'pgcoherence listen %'`
	execOn(t, server.DSN(""), end)
	at := time.Now()
	w.truth(backup.DSN(""), at)
	w.settled()
	listening := queryOn[int](t, server.DSN(""), "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgcoherence listen %'")

	fresh := w.after("base backup")
	sessions := w.fate(fresh, at)
	require.Len(t, w.lost, sessions)
	w.leases(fresh)
	w.restOfReads()
	require.False(t, queryOn[bool](t, server.DSN(""), "SELECT pg_is_in_recovery()"), "the original lives")
	w.conclude("base-backup", fmt.Sprintf("both servers alive with one system identifier, %d pods listening to the original once all were in sync, %d keys and %d sessions lost",
		listening, keys, sessions), everyKind...)
}

// TestUpgrade: pg_upgrade from the oldest supported major version to the newest, under pods that run.
func TestUpgrade(t *testing.T) {
	asked(t)
	from, to := upgradable(t), completeNew(t)
	server := startServer(t, from, nil)
	w, r := worldOn(t, server, guards{})
	w.work()
	w.revoke()
	w.note()
	stop := w.reading()
	defer stop()

	upgraded, err := server.UpgradeTo(t.Context(), to)
	require.NoError(t, err)
	closeAtEnd(t, upgraded)
	require.Equal(t, 14, server.Version()/10000)
	require.Equal(t, 18, upgraded.Version()/10000)
	for _, key := range w.keys {
		n := queryOn[int64](t, upgraded.DSN(""), "SELECT version FROM item WHERE key = $1", key)
		w.ledger.look(undone, n != w.ledger.newest(key), "%s has version %d", key, n)
	}

	r.lead(t, upgraded.DSN(""))
	w.settled()
	fresh := w.after("upgrade")
	w.leases(fresh)
	w.restOfReads()
	w.conclude("pg_upgrade", fmt.Sprintf("%d to %d, nothing lost", server.Version(), upgraded.Version()), allKinds...)
}

// upgradable returns a directory with all programs of the old version that pg_upgrade calls. The server's are real; its
// pg_controldata and pg_resetwal, which npm's package lacks, are those of the next version here, whose control file has
// the same form: they only print it.
func upgradable(t *testing.T) string {
	t.Helper()
	old := programs(t, ".ci/postgres-npm.sh", "14")
	var helper string
	for _, major := range []string{"15", "16"} {
		if _, err := os.Stat(filepath.Join("/usr/lib/postgresql", major, "bin", "pg_resetwal")); err == nil {
			helper = major
			break
		}
	}
	if helper == "" {
		pgtest.Missing(t, "pg_resetwal of Postgres 15 or 16 is not on this machine (Debian: apt-get install postgresql)")
	}

	dir := t.TempDir()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		require.NoError(t, os.Chmod(path, 0o755)) //nolint:gosec // the server's user has to search it
	}
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		require.NoError(t, os.Symlink(filepath.Join(old, name), filepath.Join(dir, name)))
	}
	script := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755)) //nolint:gosec // a program
	}
	bin := filepath.Join("/usr/lib/postgresql", helper, "bin")
	script("pg_controldata", "exec "+bin+"/pg_controldata \"$@\"\n")
	script("pg_resetwal", `case $1 in -n) ;; *) exec `+bin+`/pg_resetwal "$@" ;; esac
for data; do :; done
copy=$(mktemp -d) && mkdir -p "$copy/global" "$copy/pg_wal" && cp "$data/global/pg_control" "$copy/global/" || exit 1
echo `+helper+` >"$copy/PG_VERSION"
`+bin+`/pg_resetwal -n "$copy"
status=$?
rm -rf "$copy"
exit $status
`)
	return dir
}

// completeNew returns the directory of all programs of the new version.
func completeNew(t *testing.T) string {
	t.Helper()
	return programs(t, ".ci/postgres-debian.sh", "18")
}

// programs runs a script that fetches a server, and returns the directory that it prints.
func programs(t *testing.T, script, major string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", "..", script), major, filepath.Join(os.TempDir(), "pgcoherence-postgres"))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.NoError(t, err, string(exit.Stderr))
	}
	require.NoError(t, err)
	lines := strings.Fields(string(out))
	require.NotEmpty(t, lines)
	return lines[len(lines)-1]
}

// TestDump: a dump is restored into a cluster whose transaction ids are lower, or higher, than those in it. What was
// committed after the dump is lost.
func TestDump(t *testing.T) {
	asked(t)
	for name, spent := range map[string]struct{ from, to int }{"lower": {from: 20000}, "higher": {to: 40000}} {
		t.Run(name, func(t *testing.T) { playDump(t, name, spent.from, spent.to) })
	}
}

func playDump(t *testing.T, name string, from, to int) {
	t.Helper()
	ctx := t.Context()
	server, next := startServer(t, "", nil), startServer(t, "", nil)
	spend(t, server.DSN(""), from)
	spend(t, next.DSN(""), to)
	w, r := worldOn(t, server, guards{})
	w.work()
	w.revoke()

	file := filepath.Join(t.TempDir(), "dump.sql")
	client(t, "pg_dump", "--no-owner", "-f", file, "-d", server.DSN(""))
	w.beyond()
	w.note()
	stop := w.reading()
	defer stop()
	require.NoError(t, server.Stop(ctx))
	at := time.Now()

	client(t, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "-d", next.DSN(""))
	const xids = "SELECT max(xid::text::bigint) > pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM pgcoherence.event"
	require.Equal(t, name == "lower", queryOn[bool](t, next.DSN(""), xids), "the dump's transaction ids are from the future")
	keys := w.truth(next.DSN(""), at)
	require.Equal(t, keyCount, keys)

	r.lead(t, next.DSN(""))
	w.settled()
	fresh := w.after("dump")
	sessions := w.fate(fresh, at)
	require.Len(t, w.lost, sessions)
	w.leases(fresh)
	w.restOfReads()
	w.conclude("dump to "+name+" transaction ids", fmt.Sprintf("%d keys and %d sessions lost", keys, sessions), everyKind...)
}

// spend uses up transaction ids.
func spend(t *testing.T, dsn string, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	execOn(t, dsn, `CREATE PROCEDURE spend(n int) LANGUAGE plpgsql AS
		$$ BEGIN FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	execOn(t, dsn, fmt.Sprintf("CALL spend(%d)", n))
	execOn(t, dsn, "DROP PROCEDURE spend")
}

// client runs one of Postgres' client programs.
func client(t *testing.T, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		pgtest.Missing(t, "%s is not on this machine (Debian: apt-get install postgresql-client)", program)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}
