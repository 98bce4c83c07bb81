package compat_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	gomigrate "github.com/golang-migrate/migrate/v4"
	gomigratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jackc/tern/v2/migrate"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// tools run a migration in a transaction that they own.
var tools = map[string]func(ctx context.Context, t *testing.T, dsn string, scripts []string){
	"goose": func(ctx context.Context, t *testing.T, dsn string, scripts []string) {
		db, err := goose.OpenDBWithDriver("pgx", dsn)
		require.NoError(t, err)
		defer db.Close()
		provider, err := goose.NewProvider(goose.DialectPostgres, db, files(scripts, "00001_bus.sql", "00002_lock.sql", "00003_sessionstore.sql"))
		require.NoError(t, err)
		results, err := provider.Up(ctx)
		require.NoError(t, err)
		require.Len(t, results, 3)
	},
	"golang-migrate": func(_ context.Context, t *testing.T, dsn string, scripts []string) {
		config, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		driver, err := gomigratepgx.WithInstance(stdlib.OpenDB(*config), &gomigratepgx.Config{})
		require.NoError(t, err)
		source, err := iofs.New(files(scripts, "1_bus.up.sql", "2_lock.up.sql", "3_sessionstore.up.sql"), ".")
		require.NoError(t, err)
		m, err := gomigrate.NewWithInstance("iofs", source, "pgx5", driver)
		require.NoError(t, err)
		require.NoError(t, m.Up())
		sourceErr, databaseErr := m.Close()
		require.NoError(t, sourceErr)
		require.NoError(t, databaseErr)
	},
	"tern": func(ctx context.Context, t *testing.T, dsn string, scripts []string) {
		conn, err := pgx.Connect(ctx, dsn)
		require.NoError(t, err)
		defer conn.Close(ctx)
		m, err := migrate.NewMigrator(ctx, conn, "public.schema_version")
		require.NoError(t, err)
		require.NoError(t, m.LoadMigrations(files(scripts, "001_bus.sql", "002_lock.sql", "003_sessionstore.sql")))
		require.NoError(t, m.Migrate(ctx))
	},
}

func files(scripts []string, names ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i, name := range names {
		all[name] = &fstest.MapFile{Data: []byte(scripts[i])}
	}
	return all
}

// TestMigrationTools: scripts exported without a transaction run in other migration tools, and leave nothing for Migrate to do.
func TestMigrationTools(t *testing.T) {
	t.Parallel()
	busSQL, err := bus.MigrationSQL(&bus.MigrateConfig{NoTransaction: true, AppRole: "pg_monitor"})
	require.NoError(t, err)
	lockSQL, err := lock.MigrationSQL(&lock.MigrateConfig{NoTransaction: true, AppRole: "pg_monitor"})
	require.NoError(t, err)
	sessionSQL, err := sessionstore.MigrationSQL(&sessionstore.MigrateConfig{NoTransaction: true, AppRole: "pg_monitor"})
	require.NoError(t, err)

	for name, run := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			db := pgtest.New(t, nil)
			run(ctx, t, db.DSN, []string{busSQL, lockSQL, sessionSQL})

			pool, err := pgxpool.New(ctx, db.DSN)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			var rest strings.Builder
			require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{DryRun: &rest}))
			require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{DryRun: &rest}))
			require.NoError(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{DryRun: &rest}))
			require.Empty(t, rest.String())
			b, err := bus.NewPostgres(pool, &bus.Config{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			_, err = b.Publish(ctx, bus.Event{Topic: "t", Keys: []string{"k"}})
			require.NoError(t, err)
		})
	}
}
