package migrate_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

// Each form of the script does what Run does, which then finds nothing to do. A tool that owns the transaction can also
// roll it back.
func TestScripts(t *testing.T) {
	t.Parallel()
	sql := func(t *testing.T, cfg migrate.Config) string {
		t.Helper()
		script, err := one().SQL(&cfg)
		require.NoError(t, err)
		return script
	}
	dry := func(t *testing.T, db *pgtest.DB, cfg migrate.Config) string {
		t.Helper()
		var script strings.Builder
		cfg.DryRun = &script
		require.NoError(t, one().Run(t.Context(), db.Pool(t), &cfg))
		return script.String()
	}
	for _, source := range []string{"export", "dry run"} {
		for _, bare := range []bool{false, true} {
			name := source + " with a transaction"
			if bare {
				name = source + " without a transaction"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				db := pgtest.New(t, nil)
				pool := db.Pool(t)
				cfg := migrate.Config{AppRole: "pg_monitor", NoTransaction: bare, Logger: quiet}
				script := sql(t, cfg)
				if source == "dry run" {
					script = dry(t, db, cfg)
				}
				require.NotEmpty(t, script)
				require.False(t, has(t, pool, "SELECT to_regnamespace('s') IS NOT NULL"), "nothing is run")

				if bare {
					require.NotContains(t, script, "COMMIT")
					tx, err := pool.Begin(ctx)
					require.NoError(t, err)
					_, err = tx.Exec(ctx, script)
					require.NoError(t, err)
					require.NoError(t, tx.Rollback(ctx))
					require.False(t, has(t, pool, "SELECT to_regnamespace('s') IS NOT NULL"), "rolled back")
				}
				execute(t, pool, script)
				require.True(t, has(t, pool, "SELECT has_table_privilege('pg_monitor', 's.one', 'SELECT')"))
				require.Empty(t, dry(t, db, migrate.Config{}))
				require.Contains(t, dry(t, db, cfg), "GRANT")
				require.NotContains(t, dry(t, db, cfg), "CREATE TABLE")
			})
		}
	}
}

// Scripts of several components in one schema run one after the other, exported or from dry runs of an empty database.
func TestScriptsOfSeveralComponents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	other := component(map[string]string{"001_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int)"})
	other.Name = "other"

	var both strings.Builder
	require.NoError(t, one().Run(ctx, pool, &migrate.Config{DryRun: &both}))
	require.NoError(t, other.Run(ctx, pool, &migrate.Config{DryRun: &both}))
	execute(t, pool, both.String())
	require.NoError(t, one().Check(ctx, pool, "s"))
	require.NoError(t, other.Check(ctx, pool, "s"))
}

// A tool that has run earlier versions gets the later ones only.
func TestScriptAfter(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	require.NoError(t, one().Run(ctx, pool, &migrate.Config{Logger: quiet}))
	two := component(map[string]string{
		"001_one.sql": "CREATE TABLE /*schema*/pgcoherence.one (a int)", "002_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int)",
	})
	script, err := two.SQL(&migrate.Config{After: 1})
	require.NoError(t, err)
	require.NotContains(t, script, "SCHEMA IF")
	execute(t, pool, script)
	require.NoError(t, two.Check(ctx, pool, "s"))
	script, err = two.SQL(&migrate.Config{After: 2})
	require.NoError(t, err)
	require.Empty(t, script)
}

// Both forms run through psql, the one without a transaction with its option -1.
func TestScriptsInPsql(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		pgtest.Missing(t, "psql is not on PATH (Debian: apt-get install postgresql-client)")
	}

	for _, args := range [][]string{{}, {"-1"}} {
		db := pgtest.New(t, nil)
		script, err := one().SQL(&migrate.Config{NoTransaction: len(args) > 0})
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), psql, append(args, "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", db.DSN)...)
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NoError(t, one().Check(t.Context(), db.Pool(t), "s"))
	}
}

func TestDryRunFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil).Pool(t)
	require.ErrorIs(t, one().Run(t.Context(), pool, &migrate.Config{DryRun: full{}}), bytes.ErrTooLarge)
}
