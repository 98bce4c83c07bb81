package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

// A version that fails leaves nothing of itself behind, and those before it stay.
func TestFailedVersion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	cfg := &migrate.Config{Logger: quiet}
	broken := component(map[string]string{
		"001_one.sql": "CREATE TABLE /*schema*/pgcoherence.one (a int)",
		"002_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int); SELECT 1/0",
	})
	require.ErrorContains(t, broken.Run(ctx, pool, cfg), "test: migrate: version 2 (two)")
	version, err := broken.Version(ctx, pool, "s")
	require.NoError(t, err)
	require.Equal(t, 1, version)
	require.False(t, has(t, pool, "SELECT to_regclass('s.two') IS NOT NULL"))

	mended := component(map[string]string{
		"001_one.sql": "not run again",
		"002_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int) -- and a comment at the end",
	})
	require.Equal(t, 2, mended.Latest())
	for range 2 {
		require.NoError(t, mended.Run(ctx, pool, cfg))
	}
	require.True(t, has(t, pool, "SELECT count(*) = 2 FROM s.migration WHERE name IN ('one', 'two')"))

	// A database that is newer than the code is left alone.
	require.NoError(t, component(map[string]string{"001_one.sql": "not run"}).Run(ctx, pool, cfg))
}

// Run migrates, logs each version once, and grants each time, to a role whose name has to be quoted.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	pool := db.Pool(t)
	role, quoted := makeRole(t, db, pool)
	var log bytes.Buffer
	cfg := &migrate.Config{AppRole: role, Logger: slog.New(slog.NewTextHandler(&log, nil))}

	require.NoError(t, one().Run(ctx, pool, cfg))
	require.Equal(t, 1, strings.Count(log.String(), "schema migrated"))
	require.Contains(t, log.String(), "component=test schema=s version=1 name=one")
	require.True(t, has(t, pool, "SELECT has_table_privilege($1, 's.one', 'SELECT')", role))

	execute(t, pool, "REVOKE SELECT ON s.one FROM "+quoted)
	require.NoError(t, one().Run(ctx, pool, cfg))
	require.Equal(t, 1, strings.Count(log.String(), "schema migrated"))
	require.True(t, has(t, pool, "SELECT has_table_privilege($1, 's.one', 'SELECT')", role), "granted again")

	require.ErrorContains(t, one().Run(ctx, pool, &migrate.Config{AppRole: "nobody by this name"}), "test: migrate: grant")
}

// Many processes migrate and grant at once, whatever the database's defaults for transactions are and however
// impatient its settings: all succeed.
func TestRunAtOnce(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		for _, settings := range []string{"", "default_transaction_read_only = on", "lock_timeout = '1ms'", "statement_timeout = '2s'"} {
			t.Run(isolation+" "+settings, func(t *testing.T) {
				t.Parallel()
				db := pgtest.New(t, nil)
				admin := db.Pool(t)
				role, _ := makeRole(t, db, admin)
				execute(t, admin, fmt.Sprintf("ALTER DATABASE %q SET default_transaction_isolation = '%s'", db.Name, isolation))
				if settings != "" {
					execute(t, admin, fmt.Sprintf("ALTER DATABASE %q SET %s", db.Name, settings))
				}

				var wg sync.WaitGroup
				errs := make([]error, 8)
				for i := range errs {
					wg.Go(func() {
						pool, err := pgxpool.New(context.Background(), db.DSN)
						if err != nil {
							errs[i] = err
							return
						}
						defer pool.Close()
						for range 3 {
							if errs[i] = one().Run(t.Context(), pool, &migrate.Config{AppRole: role, Logger: quiet}); errs[i] != nil {
								return
							}
						}
					})
				}
				wg.Wait()
				for _, err := range errs {
					require.NoError(t, err)
				}
				require.True(t, has(t, admin, "SELECT count(*) = 1 FROM s.migration"))
			})
		}
	}
}

// GRANT beside another program's GRANT on the same table fails with an internal error; Run repeats it.
func TestGrantBesideOthers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	pool := db.Pool(t)
	role, _ := makeRole(t, db, pool)
	require.NoError(t, one().Run(ctx, pool, &migrate.Config{Logger: quiet}))

	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				// Its own failures are as expected as ours.
				_, _ = pool.Exec(ctx, "GRANT SELECT ON s.one TO pg_monitor; REVOKE SELECT ON s.one FROM pg_monitor")
			}
		}
	})
	for range 30 {
		if err := one().Run(ctx, pool, &migrate.Config{AppRole: role, Logger: quiet}); err != nil {
			close(done)
			require.NoError(t, err)
		}
	}
	close(done)
	wg.Wait()
}
