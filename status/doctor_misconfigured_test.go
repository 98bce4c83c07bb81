package status_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

// patient is a migrated database with a role of its own that has every grant, as an application would use it.
type patient struct {
	db    *pgtest.DB
	admin *pgxpool.Pool
	role  string
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	db := pgtest.New(t, template)
	p := &patient{db: db, admin: db.Pool(t), role: "app_" + strings.ToLower(db.Name)}
	p.exec(t, "CREATE ROLE $role LOGIN PASSWORD 'secret of the doctor'")
	t.Cleanup(func() { dropRole(t, p.admin, p.role) })
	require.NoError(t, bus.Migrate(t.Context(), p.admin, &bus.MigrateConfig{AppRole: p.role, Logger: quiet}))
	require.NoError(t, lock.Migrate(t.Context(), p.admin, &lock.MigrateConfig{AppRole: p.role, Logger: quiet}))
	require.NoError(t, sessionstore.Migrate(t.Context(), p.admin, &sessionstore.MigrateConfig{AppRole: p.role, Logger: quiet}))
	return p
}

// exec runs a statement as the superuser, with the names of the role and of the database put in.
func (p *patient) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := p.admin.Exec(t.Context(), p.fill(sql))
	require.NoError(t, err)
}

func (p *patient) fill(text string) string {
	return strings.NewReplacer("$role", p.role, "$database", pgx.Identifier{p.db.Name}.Sanitize()).Replace(text)
}

// pool connects as the application's role, with parameters in the address.
func (p *patient) pool(t *testing.T, params map[string]string) *pgxpool.Pool {
	t.Helper()
	address, err := url.Parse(p.db.DSN)
	require.NoError(t, err)
	address.User = url.UserPassword(p.role, "secret of the doctor")
	query := address.Query()
	for name, value := range params {
		query.Set(name, value)
	}
	address.RawQuery = query.Encode()
	pool, err := pgxpool.New(t.Context(), address.String())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

var allComponents = &status.DoctorConfig{
	Components: []string{status.ComponentBus, status.ComponentLock, status.ComponentSessionstore},
}

// TestDoctorMisconfigured makes each mistake on a real server: Doctor has to name the cause, where it was made, and the
// remedy, and to find nothing where nothing was done.
func TestDoctorMisconfigured(t *testing.T) {
	t.Parallel()
	healthy := status.Doctor(t.Context(), newPatient(t).pool(t, nil), allComponents)
	require.Equal(t, status.LevelOK, healthy.Worst(), "a healthy one: %+v", healthy)

	for _, tc := range []struct {
		name   string
		made   string // SQL of the superuser
		params map[string]string
		check  string
		level  status.Level
		says   []string
		hint   string
	}{
		{
			name: "statement_timeout of the role", made: "ALTER ROLE $role SET statement_timeout = '50ms'", check: "settings", level: status.LevelFail,
			says: []string{"statement_timeout is 50ms", "set on the role $role"}, hint: "ALTER ROLE $role RESET statement_timeout",
		},
		{
			name: "statement_timeout of the database", made: "ALTER DATABASE $database SET statement_timeout = '2s'", check: "settings", level: status.LevelWarn,
			says: []string{"statement_timeout is 2000ms", "set on the database"}, hint: "RESET statement_timeout",
		},
		{
			name: "statement_timeout of the role in the database", made: "ALTER ROLE $role IN DATABASE $database SET statement_timeout = '100ms'", check: "settings", level: status.LevelFail,
			says: []string{"set on the role $role in the database"}, hint: "IN DATABASE",
		},
		{
			name: "statement_timeout of the client", params: map[string]string{"statement_timeout": "50"}, check: "settings", level: status.LevelFail,
			says: []string{"sent by the client"}, hint: "RuntimeParams",
		},
		{
			name: "lock_timeout", made: "ALTER ROLE $role SET lock_timeout = '1ms'", check: "settings", level: status.LevelWarn,
			says: []string{"lock_timeout is 1ms"}, hint: "ALTER ROLE $role RESET lock_timeout",
		},
		{
			name: "idle_session_timeout", made: "ALTER DATABASE $database SET idle_session_timeout = '5s'", check: "settings", level: status.LevelWarn,
			says: []string{"idle_session_timeout is 5000ms", "between requests"}, hint: "ALTER DATABASE",
		},
		{
			name: "idle_in_transaction_session_timeout", made: "ALTER ROLE $role SET idle_in_transaction_session_timeout = '10ms'", check: "settings", level: status.LevelWarn,
			says: []string{"idle_in_transaction_session_timeout is 10ms"}, hint: "RESET",
		},
		{
			name: "session_replication_role", made: "ALTER ROLE $role SET session_replication_role = replica", check: "settings", level: status.LevelFail,
			says: []string{"triggers do not fire"}, hint: "RESET session_replication_role",
		},
		{
			name: "synchronous_commit", made: "ALTER ROLE $role SET synchronous_commit = off", check: "settings", level: status.LevelWarn,
			says: []string{"fencing token"}, hint: "RESET synchronous_commit",
		},
		{
			name: "serializable by default", made: "ALTER DATABASE $database SET default_transaction_isolation = serializable", check: "settings", level: status.LevelWarn,
			says: []string{"default_transaction_isolation is serializable"}, hint: "RESET default_transaction_isolation",
		},

		{
			name: "read-only role", made: "ALTER ROLE $role SET default_transaction_read_only = on", check: "primary", level: status.LevelFail,
			says: []string{"transactions are read-only", "set on the role $role"}, hint: "ALTER ROLE $role RESET default_transaction_read_only",
		},
		{
			name: "read-only database", made: "ALTER DATABASE $database SET default_transaction_read_only = on", check: "primary", level: status.LevelFail,
			says: []string{"set on the database"}, hint: "ALTER DATABASE",
		},

		{
			name: "connection limit of the role", made: "ALTER ROLE $role CONNECTION LIMIT 4", check: "connections", level: status.LevelWarn,
			says: []string{"limit of the role"}, hint: "ALTER ROLE … CONNECTION LIMIT",
		},
		{
			name: "connection limit of the role, reached", made: "ALTER ROLE $role CONNECTION LIMIT 1", check: "reachable", level: status.LevelFail,
			says: []string{"the bus cannot"}, hint: "ALTER ROLE … CONNECTION LIMIT",
		},
		{
			name: "connection limit of the database", made: "ALTER DATABASE $database CONNECTION LIMIT 5", check: "connections", level: status.LevelWarn,
			says: []string{"limit of the database"}, hint: "ALTER DATABASE … CONNECTION LIMIT",
		},

		{
			name: "logged event table", made: "ALTER TABLE pgcoherence.event SET LOGGED", check: "tables", level: status.LevelFail,
			says: []string{"LOGGED: event"}, hint: "SET UNLOGGED",
		},
		{
			name: "unlogged leases", made: "ALTER TABLE pgcoherence.lease SET UNLOGGED", check: "tables", level: status.LevelFail,
			says: []string{"UNLOGGED: lease"}, hint: "SET LOGGED",
		},
		{
			name: "a dropped table", made: "DROP TABLE pgcoherence.pod CASCADE", check: "tables", level: status.LevelFail,
			says: []string{"bus", "one table is not there: pod"}, hint: "bus.Migrate",
		},
		{
			name: "row level security on the log", made: "ALTER TABLE pgcoherence.event ENABLE ROW LEVEL SECURITY", check: "tables", level: status.LevelFail,
			says: []string{"Row level security", "event"}, hint: "DISABLE ROW LEVEL SECURITY",
		},
		{
			name: "row level security on sessions", made: "ALTER TABLE pgcoherence.session ENABLE ROW LEVEL SECURITY", check: "tables", level: status.LevelFail,
			says: []string{"session"}, hint: "DISABLE ROW LEVEL SECURITY",
		},
		{
			name: "a right less", made: "REVOKE DELETE ON pgcoherence.event FROM $role", check: "grants", level: status.LevelFail,
			says: []string{"DELETE ON event"}, hint: "AppRole",
		},
		{
			name: "a function less", made: "REVOKE EXECUTE ON FUNCTION pgcoherence.identity() FROM PUBLIC, $role", check: "grants", level: status.LevelFail,
			says: []string{"EXECUTE ON function identity"}, hint: "AppRole",
		},
		{
			name: "a sequence less", made: "REVOKE ALL ON SEQUENCE pgcoherence.lease_token FROM $role", check: "grants", level: status.LevelFail,
			says: []string{"USAGE ON sequence lease_token"}, hint: "AppRole",
		},
		{
			name: "newer tables", made: "INSERT INTO pgcoherence.migration (component, version, name) VALUES ('lock', 99, 'from the future')", check: "schema", level: status.LevelWarn,
			says: []string{"The tables of lock are newer"}, hint: "rolling deploy",
		},
		{
			name: "no schema", made: "DROP SCHEMA pgcoherence CASCADE", check: "schema", level: status.LevelFail,
			says: []string{"missing or too old"}, hint: "Migrate",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			if tc.made != "" {
				p.exec(t, tc.made)
			}
			d := status.Doctor(t.Context(), p.pool(t, tc.params), allComponents)
			f := worst(t, d, tc.check)
			require.Equal(t, tc.level, f.Level, "%+v", d)
			for _, text := range tc.says {
				require.Contains(t, f.Says, p.fill(text))
			}
			require.Contains(t, f.Hint, p.fill(tc.hint))
			require.NotContains(t, fmt.Sprint(d), "secret of the doctor")
		})
	}
}

// worst is the worst finding of a check.
func worst(t *testing.T, d status.Diagnosis, check string) status.Finding {
	t.Helper()
	f := finding(t, d, check)
	for _, other := range d.Findings {
		if other.Check == check && (status.Diagnosis{Findings: []status.Finding{f, other}}).Worst() != f.Level {
			f = other
		}
	}
	return f
}

// TestDoctorServerSettings: what is set for the whole server, which takes a server of its own.
func TestDoctorServerSettings(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, &pgtest.Config{Logger: quiet, Settings: map[string]string{"statement_timeout": "300ms"}})
	pool, err := pgxpool.New(t.Context(), server.DSN(""))
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, bus.Migrate(t.Context(), pool, &bus.MigrateConfig{Logger: quiet}))
	f := worst(t, status.Doctor(t.Context(), pool, nil), "settings")
	require.Contains(t, f.Says, "set in the server's configuration")
	require.Contains(t, f.Hint, "ALTER ROLE postgres SET statement_timeout")

	// A standby that is named and not there: no pod could register, and nothing would say why.
	_, err = pool.Exec(t.Context(), "ALTER SYSTEM SET synchronous_standby_names = 'nowhere'")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "ALTER SYSTEM SET statement_timeout = 0")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	eventually(t, func() bool {
		var names string
		return pool.QueryRow(t.Context(), "SHOW synchronous_standby_names").Scan(&names) == nil && names == "nowhere"
	}, "the server reads its configuration")
	f = finding(t, status.DoctorWithin(t.Context(), pool, nil, status.DoctorLimits{CommitWait: time.Second}), "commit")
	require.Equal(t, status.LevelFail, f.Level)
	require.Contains(t, f.Says, "synchronous_standby_names is 'nowhere'")
}

// TestDoctorEncoding: a database that cannot hold all text.
func TestDoctorEncoding(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, nil)
			admin := db.Pool(t)
			name := db.Name + "_" + strings.ToLower(encoding)
			_, err := admin.Exec(t.Context(), fmt.Sprintf("CREATE DATABASE %s ENCODING '%s' LOCALE 'C' TEMPLATE template0", pgx.Identifier{name}.Sanitize(), encoding))
			require.NoError(t, err)
			pool, err := pgxpool.New(t.Context(), db.Server.DSN(name))
			require.NoError(t, err)

			t.Cleanup(func() {
				pool.Close()
				_, err := admin.Exec(context.Background(), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
				require.NoError(t, err)
			})

			require.NoError(t, bus.Migrate(t.Context(), pool, &bus.MigrateConfig{Logger: quiet}))
			f := finding(t, status.Doctor(t.Context(), pool, nil), "encoding")
			require.Equal(t, status.LevelWarn, f.Level)
			require.Contains(t, f.Says, encoding)
		})
	}
}

// TestDoctorSnapshots: who keeps dead rows is named, in each form that it can have.
func TestDoctorSnapshots(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	limits := status.DoctorLimits{SnapshotAge: time.Millisecond}
	old := func() status.Finding {
		time.Sleep(2 * time.Millisecond) // older than the limit
		return finding(t, status.DoctorWithin(t.Context(), pool, nil, limits), "snapshots")
	}

	config, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.RuntimeParams["application_name"] = "forgotten"
	holder, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { _ = holder.Close(context.Background()) }()
	_, err = holder.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
	require.NoError(t, err)
	f := old()
	require.Equal(t, status.LevelWarn, f.Level)
	require.Contains(t, f.Says, fmt.Sprint(holder.PgConn().PID()))
	require.Contains(t, f.Says, "forgotten")
	require.Contains(t, f.Hint, "pg_terminate_backend")
	_, err = holder.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)

	_, err = holder.Exec(t.Context(), "BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'left behind "+db.Name+"'")
	require.NoError(t, err)
	f = old()
	require.Contains(t, f.Says, "prepared transaction 'left behind")
	_, err = holder.Exec(t.Context(), "ROLLBACK PREPARED 'left behind "+db.Name+"'")
	require.NoError(t, err)
}

// TestDoctorWatches: the triggers of a watched table.
func TestDoctorWatches(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ made, says string }{
		"disabled":    {"ALTER TABLE users DISABLE TRIGGER ALL", "is disabled"},
		"column gone": {"ALTER TABLE users RENAME COLUMN id TO number", "id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t, template).Pool(t)
			_, err := pool.Exec(t.Context(), "CREATE TABLE users (id bigint PRIMARY KEY, name text)")
			require.NoError(t, err)
			b, err := bus.NewPostgres(pool, nil)
			require.NoError(t, err)
			require.NoError(t, b.WatchTable(t.Context(), bus.Watch{Table: "users", Topic: "users"}))
			require.Equal(t, status.LevelOK, finding(t, status.Doctor(t.Context(), pool, nil), "watches").Level)
			_, err = pool.Exec(t.Context(), tc.made)
			require.NoError(t, err)
			f := finding(t, status.Doctor(t.Context(), pool, nil), "watches")
			require.Equal(t, status.LevelFail, f.Level)
			require.Contains(t, f.Says, tc.says)
			require.Contains(t, f.Hint, "WatchTable")
		})
	}
}
