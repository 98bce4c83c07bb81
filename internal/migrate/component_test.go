package migrate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"gap": {"001_a.sql": "", "003_b.sql": ""}, "not from one": {"002_a.sql": ""}, "no name": {"001.sql": ""}, "no number": {"a_b.sql": ""},
	} {
		c := component(files)
		_, err := c.Load("s")
		require.ErrorContains(t, err, "want 00", name)
		_, err = c.SQL(nil)
		require.ErrorContains(t, err, "want 00", name)
	}
	_, err := one().Load("Bad Schema")
	require.ErrorContains(t, err, "schema name")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	nowhere, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(nowhere.Close)

	for field, cfg := range map[string]*migrate.Config{
		"Schema": {Schema: "not good"}, "AppRole": {AppRole: "a\x00"}, "ReaderRole": {ReaderRole: strings.Repeat("r", 64)},
		"After": {After: 2},
	} {
		err := one().Run(t.Context(), nowhere, cfg)
		require.ErrorIs(t, err, errConfig, field)
		require.ErrorContains(t, err, field)
		_, err = one().SQL(cfg)
		require.ErrorIs(t, err, errConfig, field)
	}
	_, err = one().SQL(&migrate.Config{AppRole: strings.Repeat("r", 63), After: 1})
	require.NoError(t, err)
	require.ErrorIs(t, one().Run(t.Context(), nil, nil), errConfig)
	require.ErrorContains(t, one().Run(t.Context(), nowhere, nil), "test: migrate: ")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)

	err := one().Check(ctx, pool, "s")
	require.ErrorIs(t, err, errSchema)
	require.ErrorContains(t, err, `schema "s" has version 0, this code needs 1: call test.Migrate`)
	require.NoError(t, one().Run(ctx, pool, &migrate.Config{Logger: quiet}))
	require.NoError(t, one().Check(ctx, pool, "s"))
	newer := component(map[string]string{"001_one.sql": "", "002_two.sql": ""})
	require.ErrorContains(t, newer.Check(ctx, pool, "s"), "has version 1, this code needs 2")
}

// Rows that are hidden are not taken for rows that are missing.
func TestHiddenVersion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	pool := db.Pool(t)
	role, quoted := makeRole(t, db, pool)
	require.NoError(t, one().Run(ctx, pool, &migrate.Config{Logger: quiet}))
	execute(t, pool, "ALTER TABLE s.migration ENABLE ROW LEVEL SECURITY; GRANT USAGE ON SCHEMA s TO "+quoted+"; GRANT SELECT ON s.migration TO "+quoted)
	require.NoError(t, one().Check(ctx, pool, "s"), "it does not hide them from the owner")

	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	for _, mode := range []string{"on", "off"} {
		_, err = conn.Exec(ctx, "SET row_security = "+mode+"; SET ROLE "+quoted)
		require.NoError(t, err)
		err = one().Check(ctx, conn, "s")
		if mode == "on" {
			require.ErrorIs(t, err, migrate.ErrHidden)
			require.ErrorContains(t, err, `row level security hides rows of table "s".migration`)
			require.ErrorContains(t, err, fmt.Sprintf("from role %q", role))
		} else {
			require.ErrorContains(t, err, "row-level security")
		}
		_, err = conn.Exec(ctx, "RESET ROLE; RESET row_security")
		require.NoError(t, err)
	}
}
