package sqltext_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

func TestCheckSchema(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "_", "pgcoherence", "a1_b", strings.Repeat("a", sqltext.MaxSchema)} {
		require.NoError(t, sqltext.CheckSchema(good))
	}
	for _, bad := range []string{"", "1a", "A", "a b", "a-b", `a"`, "a\x00", "ä", "pg_x", strings.Repeat("a", sqltext.MaxSchema+1)} {
		require.ErrorContains(t, sqltext.CheckSchema(bad), "schema name", "%q", bad)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"q.sql": {Data: []byte("\nSELECT 1 FROM /*schema*/pgcoherence.t, pgcoherence.u\n")}}
	require.Equal(t, `SELECT 1 FROM "other".t, pgcoherence.u`, sqltext.Load(files, "q.sql", "other"))
	require.Panics(t, func() { sqltext.Load(files, "missing.sql", "other") })
}

// No schema name that passes the check changes the shape of a statement.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{"a", `a"; DROP TABLE x; --`, "a\x00b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, schema string) {
		got := sqltext.Render("FROM /*schema*/pgcoherence.t", schema)
		inner, ok := strings.CutPrefix(got, `FROM "`)
		if !ok || strings.Count(inner, `"`)%2 != 1 {
			t.Fatalf("%q does not stay within its quotes: %s", schema, got)
		}
		if sqltext.CheckSchema(schema) == nil && got != `FROM "`+schema+`".t` {
			t.Fatalf("%q became %s", schema, got)
		}
	})
}
