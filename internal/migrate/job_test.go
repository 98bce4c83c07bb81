package migrate_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func job(role string) migrate.Job {
	return migrate.Job{
		Set:    set(map[string]string{"001_one.sql": "CREATE TABLE /*schema*/pgcoherence.one (a int);"}),
		Schema: "s",
		Grants: []migrate.Grant{{Field: "AppRole", Role: role, SQL: "GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;" +
			"GRANT SELECT ON /*schema*/pgcoherence.one TO %[1]s;"}},
		Logger: slog.New(slog.DiscardHandler),
	}
}

func TestJobCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, job("").Check())
	require.NoError(t, job(strings.Repeat("r", 63)).Check())
	for _, role := range []string{strings.Repeat("r", 64), "a\x00", "\xff"} {
		j := job(role)
		require.ErrorContains(t, j.Check(), "AppRole")
		require.ErrorContains(t, j.Run(t.Context(), nil), "AppRole")
		_, err := j.SQL()
		require.ErrorContains(t, err, "AppRole")
	}
	j := job("")
	j.Schema = "not good"
	require.ErrorContains(t, j.Check(), "Schema")
	require.ErrorContains(t, job("").Run(t.Context(), nil), "pool is nil")
}

// Run migrates, logs each version once, and grants each time, to a role whose name has to be quoted.
func TestJobRun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	pool := db.Pool(t)
	role := `r"; DROP TABLE s.one; -- ` + db.Name[len(db.Name)-8:]
	quoted := `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	_, err := pool.Exec(ctx, "CREATE ROLE "+quoted)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP OWNED BY "+quoted+"; DROP ROLE "+quoted)
		require.NoError(t, err)
	})
	var log bytes.Buffer
	j := job(role)
	j.Logger = slog.New(slog.NewTextHandler(&log, nil))

	var dry strings.Builder
	j.DryRun = &dry
	require.NoError(t, j.Run(ctx, pool))
	require.Contains(t, dry.String(), `CREATE TABLE "s".one`)
	require.Contains(t, dry.String(), "TO "+quoted)
	require.False(t, has(t, pool, "SELECT to_regnamespace('s') IS NOT NULL"), "nothing is run")
	require.Empty(t, log.String())

	j.DryRun = nil
	require.NoError(t, j.Run(ctx, pool))
	require.Equal(t, 1, strings.Count(log.String(), "schema migrated"))
	require.Contains(t, log.String(), "component=test schema=s version=1 name=one")
	require.True(t, has(t, pool, "SELECT has_table_privilege($1, 's.one', 'SELECT')", role))
	_, err = pool.Exec(ctx, "REVOKE SELECT ON s.one FROM "+quoted)
	require.NoError(t, err)
	require.NoError(t, j.Run(ctx, pool))
	require.Equal(t, 1, strings.Count(log.String(), "schema migrated"))
	require.True(t, has(t, pool, "SELECT has_table_privilege($1, 's.one', 'SELECT')", role), "granted anew")

	dry.Reset()
	j.DryRun = &dry
	require.NoError(t, j.Run(ctx, pool))
	require.NotContains(t, dry.String(), "CREATE TABLE")
	require.Contains(t, dry.String(), "GRANT")

	j = job("nobody by this name")
	require.ErrorContains(t, j.Run(ctx, pool), "migrate: grant")
	j.Set = set(map[string]string{"002_two.sql": ""})
	require.ErrorContains(t, j.Run(ctx, pool), "want 001_name.sql")
	_, err = j.SQL()
	require.ErrorContains(t, err, "want 001_name.sql")
}

// What SQL answers does by itself what Run does, and Run then finds nothing to do.
func TestJobSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	j := job("pg_monitor")
	script, err := j.SQL()
	require.NoError(t, err)
	_, err = pool.Exec(ctx, script)
	require.NoError(t, err)
	require.True(t, has(t, pool, "SELECT has_table_privilege('pg_monitor', 's.one', 'SELECT')"))
	var dry strings.Builder
	j.DryRun = &dry
	j.Grants = nil
	require.NoError(t, j.Run(ctx, pool))
	require.Empty(t, dry.String())
}

// A pool that cannot connect is an error, and so is a writer that cannot write.
func TestJobFails(t *testing.T) {
	t.Parallel()
	nowhere, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(nowhere.Close)
	require.ErrorContains(t, job("").Run(t.Context(), nowhere), "migrate: ")
	j := job("")
	j.DryRun = full{}
	require.ErrorIs(t, j.Run(t.Context(), pgtest.New(t, nil).Pool(t)), errFull)
}

var errFull = bytes.ErrTooLarge

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func has(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (yes bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&yes))
	return yes
}
