package bus_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	var dry strings.Builder
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{DryRun: &dry, Logger: quiet}))
	require.Contains(t, dry.String(), "CREATE UNLOGGED TABLE \"pgcoherence\".event")
	var exists bool
	require.NoError(t, pool.QueryRow(ctx, "SELECT to_regnamespace('pgcoherence') IS NOT NULL").Scan(&exists))
	require.False(t, exists, "a dry run changes nothing")

	// Many at once: each version is applied once.
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	dry.Reset()
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{DryRun: &dry, Logger: quiet}))
	require.Empty(t, dry.String(), "nothing is pending")

	// Another schema beside it, with a bus of its own.
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{Schema: "second", Logger: quiet}))
	cfg := quick("second")
	cfg.Schema = "second"
	first, second := start(t, pool, quick("first")), start(t, pool, cfg)
	publish(t, second, "1")
	eventually(t, func() bool { return second.has("1") }, "arrives")
	require.False(t, first.has("1"), "two applications in one database keep apart")

	for _, bad := range []*bus.MigrateConfig{{Schema: "no;"}, {AppRole: "a\x00"}, {ReaderRole: strings.Repeat("r", 64)}} {
		require.ErrorIs(t, bus.Migrate(ctx, pool, bad), bus.ErrConfig)
		_, err := bus.MigrationSQL(bad)
		require.ErrorIs(t, err, bus.ErrConfig)
	}
}

// The exported SQL makes the same schema.
func TestMigrationSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	script, err := bus.MigrationSQL(nil)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, script)
	require.NoError(t, err)
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}), "and Migrate finds nothing to do")
	p := start(t, pool, quick("a"))
	publish(t, p, "1")
}

func TestOldSchema(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	_, err := pool.Exec(t.Context(), "DELETE FROM pgcoherence.migration")
	require.NoError(t, err)
	p := prepare(t, pool, quick("a"))
	err = p.Run(t.Context())
	require.ErrorIs(t, err, bus.ErrSchema)
	require.ErrorContains(t, err, "has version 0")
}

// The two roles get what they need and nothing else.
func TestRoles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	app, reader := db.Name+"_app", db.Name+"_reader"
	_, err := pool.Exec(ctx, `CREATE ROLE "`+app+`" LOGIN PASSWORD 'app'; CREATE ROLE "`+reader+`" LOGIN PASSWORD 'reader'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, role := range []string{app, reader} {
			_, err := pool.Exec(t.Context(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`)
			_ = err // the context has ended: the server goes with the test binary
		}
	})
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{AppRole: app, ReaderRole: reader, Logger: quiet}))
	as := func(role, password string) *pgxpool.Pool {
		config, err := pgxpool.ParseConfig(db.DSN)
		require.NoError(t, err)
		config.ConnConfig.User, config.ConnConfig.Password = role, password
		p, err := pgxpool.NewWithConfig(ctx, config)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p
	}
	apps, readers := as(app, "app"), as(reader, "reader")
	a, b := start(t, apps, quick("a")), start(t, apps, quick("b"))
	publish(t, a, "1")
	eventually(t, func() bool { return b.has("1") }, "the app role runs a bus")
	_, err = apps.Exec(ctx, "DROP TABLE pgcoherence.event")
	requireCode(t, err, "42501")
	_, err = apps.Exec(ctx, "UPDATE pgcoherence.setting SET pod_lease = '1 hour'")
	requireCode(t, err, "42501")

	// Who does not trust the role to write true transaction ids leaves it the columns that a pod fills in.
	_, err = pool.Exec(ctx, `REVOKE INSERT ON pgcoherence.event FROM "`+app+`"; GRANT INSERT (n, origin, topic, keys, whole) ON pgcoherence.event TO "`+app+`"`)
	require.NoError(t, err)
	c := start(t, apps, quick("c"))
	publish(t, c, "2")
	_, err = apps.Exec(ctx, "SELECT pgcoherence.invalidate('item', '3')")
	require.NoError(t, err)
	eventually(t, func() bool { return b.has("2") && b.has("3") }, "and it still runs one")
	_, err = apps.Exec(ctx, "INSERT INTO pgcoherence.event (xid, topic) VALUES ('3', 'item')")
	requireCode(t, err, "42501")
	c.stop()

	var n int
	require.NoError(t, readers.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.pod").Scan(&n))
	require.Equal(t, 2, n)
	_, err = readers.Exec(ctx, "SELECT secret FROM pgcoherence.epoch")
	requireCode(t, err, "42501")
	_, err = readers.Exec(ctx, "SELECT pgcoherence.invalidate('item', '1')")
	requireCode(t, err, "42501")
	p := prepare(t, readers, quick("reader"))
	err = p.Run(ctx)
	require.ErrorIs(t, err, bus.ErrPrivilege)
	require.ErrorContains(t, err, "INSERT ON pod")
}
