package migrate_test

import (
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

func set(files map[string]string) migrate.Set {
	all := fstest.MapFS{}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return migrate.Set{Component: "test", Files: all}
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.New(t, nil).DSN)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// A version that fails leaves nothing of itself behind, and those before it stay.
func TestFailedVersion(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), connect(t)
	broken := set(map[string]string{
		"001_one.sql": "CREATE TABLE /*schema*/pgcoherence.one (a int)",
		"002_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int); SELECT 1/0",
	})
	applied, err := broken.Run(ctx, conn, "s")
	require.ErrorContains(t, err, "test version 2 (two)")
	require.Len(t, applied, 1)
	version, err := broken.Version(ctx, conn, "s")
	require.NoError(t, err)
	require.Equal(t, 1, version)
	var two bool
	require.NoError(t, conn.QueryRow(ctx, "SELECT to_regclass('s.two') IS NOT NULL").Scan(&two))
	require.False(t, two)

	mended := set(map[string]string{
		"001_one.sql": "not run again",
		"002_two.sql": "CREATE TABLE /*schema*/pgcoherence.two (a int)",
	})
	pending, err := mended.Pending(ctx, conn, "s")
	require.NoError(t, err)
	require.Len(t, pending, 1)
	applied, err = mended.Run(ctx, conn, "s")
	require.NoError(t, err)
	require.Equal(t, "two", applied[0].Name)
	require.Equal(t, 2, mended.Latest())
	applied, err = mended.Run(ctx, conn, "s")
	require.NoError(t, err)
	require.Empty(t, applied)
	// A database that is newer than the code is left alone.
	applied, err = set(map[string]string{"001_one.sql": "not run"}).Run(ctx, conn, "s")
	require.NoError(t, err)
	require.Empty(t, applied)
}

func TestBadSets(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"gap": {"001_a.sql": "", "003_b.sql": ""}, "not from one": {"002_a.sql": ""}, "no name": {"001.sql": ""}, "no number": {"a_b.sql": ""},
	} {
		_, err := set(files).Load("s")
		require.ErrorContains(t, err, "want 00", name)
	}
	_, err := set(map[string]string{"001_a.sql": ""}).Load("Bad Schema")
	require.ErrorContains(t, err, "schema name")
	_, err = set(nil).Script("1")
	require.Error(t, err)
}
