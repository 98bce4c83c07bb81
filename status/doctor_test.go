package status_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

func finding(t *testing.T, d status.Diagnosis, check string) status.Finding {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check == check {
			require.NotEmpty(t, f.Says)
			require.Equal(t, f.Level != status.LevelOK, f.Hint != "", "a hint if and only if something is wrong: %+v", f)
			return f
		}
	}
	require.Fail(t, "no such finding", "%s in %+v", check, d)
	return status.Finding{}
}

func TestDoctorQueriesPrepare(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	n := 0
	require.NoError(t, fs.WalkDir(status.Queries(), "query", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}

		n++
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()

		_, err = conn.Conn().Prepare(t.Context(), path, sqltext.Load(status.Queries(), path, bus.DefaultSchema))
		require.NoError(t, err, path)
		return nil
	}))

	require.Equal(t, 11, n)
}

func TestDoctorWell(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	quiet := quiet
	require.NoError(t, lock.Migrate(t.Context(), pool, &lock.MigrateConfig{Logger: quiet}))
	require.NoError(t, sessionstore.Migrate(t.Context(), pool, &sessionstore.MigrateConfig{Logger: quiet}))

	d := status.Doctor(t.Context(), pool, &status.DoctorConfig{
		Components: []string{status.ComponentBus, status.ComponentLock, status.ComponentSessionstore},
	})
	for _, check := range []string{"reachable", "primary", "version", "clock", "encoding", "settings", "commit", "schema", "tables", "grants", "pooler", "listen", "queue", "snapshots", "retention", "lease"} {
		require.Equal(t, status.LevelOK, finding(t, d, check).Level, "%+v", d)
	}

	var b strings.Builder
	_, err := d.WriteTo(&b)
	require.NoError(t, err)
	require.Contains(t, b.String(), "ok    primary      The server is a primary and accepts writes.\n")
}

func TestDoctorUnreachable(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://somebody:hunter2@127.0.0.1:1/nothing?connect_timeout=1")
	require.NoError(t, err)
	defer pool.Close()
	d := status.Doctor(t.Context(), pool, nil)
	require.Len(t, d.Findings, 1, "nothing else can be said")
	require.Equal(t, status.LevelFail, finding(t, d, "reachable").Level)
	require.Equal(t, status.LevelFail, d.Worst())
	require.NotContains(t, finding(t, d, "reachable").Says, "hunter2")

	good := pgtest.New(t, template).Pool(t)
	d = status.Doctor(t.Context(), good, &status.DoctorConfig{Connect: func(context.Context) (*pgx.Conn, error) { return nil, errors.New("no route") }})
	require.Contains(t, finding(t, d, "reachable").Says, "no route")
	require.Equal(t, status.LevelFail, status.Doctor(t.Context(), nil, nil).Worst())
	require.Equal(t, status.LevelFail, status.Doctor(t.Context(), good, &status.DoctorConfig{Schema: `x"; DROP`}).Worst())
}

func TestDoctorSchemas(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil).Pool(t)
	d := status.Doctor(t.Context(), pool, &status.DoctorConfig{Components: []string{status.ComponentBus}})
	f := finding(t, d, "schema")
	require.Equal(t, status.LevelFail, f.Level)
	require.Contains(t, f.Hint, "bus.Migrate")
	require.NoError(t, bus.Migrate(t.Context(), pool, &bus.MigrateConfig{Logger: quiet}))
	require.Equal(t, status.LevelOK, finding(t, status.Doctor(t.Context(), pool, nil), "schema").Level)
	for _, component := range []string{status.ComponentLock, status.ComponentSessionstore, "nothing"} {
		d = status.Doctor(t.Context(), pool, &status.DoctorConfig{Components: []string{component}})
		require.Equal(t, status.LevelFail, finding(t, d, "schema").Level, component)
		require.Contains(t, finding(t, d, "schema").Says, component)
	}
}

func TestDoctorReadOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	d := status.Doctor(t.Context(), pool, nil)
	require.Equal(t, status.LevelFail, finding(t, d, "primary").Level)
	require.Len(t, d.Findings, 2)
}

// TestDoctorGrants: a role that may connect and nothing else.
func TestDoctorGrants(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	admin := db.Pool(t)
	role := "doctor_" + strings.ToLower(db.Name)
	_, err := admin.Exec(t.Context(), "CREATE ROLE "+pgx.Identifier{role}.Sanitize()+" LOGIN")
	require.NoError(t, err)
	t.Cleanup(func() { dropRole(t, admin, role) })
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["role"] = role // whatever pg_hba.conf says of it
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	d := status.Doctor(t.Context(), pool, nil)
	f := finding(t, d, "grants")
	require.Equal(t, status.LevelFail, f.Level)
	require.Contains(t, f.Says, "INSERT ON event")
	require.NotContains(t, f.Says, "lease", "not in use")

	require.NoError(t, bus.Migrate(t.Context(), admin, &bus.MigrateConfig{AppRole: role, Logger: quiet}))
	d = status.Doctor(t.Context(), pool, nil)
	require.Equal(t, status.LevelOK, finding(t, d, "grants").Level, "%+v", d)
	require.Equal(t, status.LevelOK, finding(t, d, "schema").Level)
	require.Equal(t, status.LevelOK, finding(t, d, "retention").Level)

	_, err = admin.Exec(t.Context(), "ALTER ROLE "+pgx.Identifier{role}.Sanitize()+" CONNECTION LIMIT 3")
	require.NoError(t, err)
	f = finding(t, status.Doctor(t.Context(), pool, nil), "connections")
	require.Equal(t, status.LevelWarn, f.Level, f.Says)
}

func dropRole(t *testing.T, admin *pgxpool.Pool, role string) {
	t.Helper()
	name := pgx.Identifier{role}.Sanitize()
	_, err := admin.Exec(context.Background(), "DROP OWNED BY "+name+"; DROP ROLE "+name)
	require.NoError(t, err)
}

func TestDoctorLog(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	_, err := pool.Exec(t.Context(), `INSERT INTO pgcoherence.event (topic, keys, at) VALUES ('users', '{1}', now() - interval '2 hours')`)
	require.NoError(t, err)
	require.Equal(t, status.LevelOK, finding(t, status.Doctor(t.Context(), pool, nil), "retention").Level, "nobody runs who could delete it")
	_, err = pool.Exec(t.Context(), `INSERT INTO pgcoherence.pod (id, name) VALUES (gen_random_uuid(), 'a');
		UPDATE pgcoherence.setting SET pod_lease = '1 second'`)
	require.NoError(t, err)
	d := status.Doctor(t.Context(), pool, nil)
	require.Equal(t, status.LevelWarn, finding(t, d, "retention").Level)
	require.Contains(t, finding(t, d, "retention").Says, "2h0m")
	require.Equal(t, status.LevelFail, finding(t, d, "lease").Level)
	require.Equal(t, status.LevelOK, finding(t, status.Doctor(t.Context(), pool, &status.DoctorConfig{Retention: -1}), "retention").Level)
}

// TestDoctorQueue: a session that listens and stays in a transaction holds the queue, and is named.
func TestDoctorQueue(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	holder, err := pgx.Connect(t.Context(), db.DSN)
	require.NoError(t, err)
	defer func() { _ = holder.Close(context.Background()) }()

	_, err = holder.Exec(t.Context(), "LISTEN anything")
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), "BEGIN; SELECT 1")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "SELECT pg_notify('anything', i || repeat('x', 7000)) FROM generate_series(1, 2000) AS i")
	require.NoError(t, err)
	d := status.DoctorWithin(t.Context(), pool, nil, status.DoctorLimits{QueueWarn: 1e-6})
	f := finding(t, d, "queue")
	require.Equal(t, status.LevelWarn, f.Level, "%+v", d)
	require.Contains(t, f.Hint, strconv.Itoa(int(holder.PgConn().PID())))
	require.Equal(t, status.LevelFail, finding(t, status.DoctorWithin(t.Context(), pool, nil, status.DoctorLimits{QueueWarn: 1e-7, QueueFail: 1e-6}), "queue").Level)
}

func TestHolderOf(t *testing.T) {
	t.Parallel()
	pid, ok := status.HolderOf("The server process with PID 4711 is among those with the oldest transactions.")
	require.True(t, ok)
	require.Equal(t, "4711", pid)
	_, ok = status.HolderOf("Something else.")
	require.False(t, ok)
}

// TestDoctorPooler: behind PgBouncer in transaction mode.
func TestDoctorPooler(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	through, err := pgxpool.New(t.Context(), pgtest.NewBouncer(t, db, nil).DSN())
	require.NoError(t, err)
	defer through.Close()
	d := status.Doctor(t.Context(), through, nil)
	require.Equal(t, status.LevelWarn, finding(t, d, "pooler").Level, "%+v", d)
	require.Equal(t, status.LevelFail, finding(t, d, "listen").Level, "%+v", d)
	require.Equal(t, status.LevelOK, finding(t, d, "schema").Level)
	require.Equal(t, status.LevelOK, finding(t, d, "queue").Level)

	direct := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.DSN) }
	d = status.Doctor(t.Context(), through, &status.DoctorConfig{Connect: direct})
	require.Equal(t, status.LevelOK, finding(t, d, "pooler").Level)
	require.Equal(t, status.LevelOK, finding(t, d, "listen").Level, "%+v", d)
}
