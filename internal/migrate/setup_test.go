package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var (
	errConfig = errors.New("test: invalid configuration")
	errSchema = errors.New("test: schema is missing or too old")
)

// quiet keeps expected lines out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// component has these migrations, and one grant for an AppRole.
func component(files map[string]string) migrate.Component {
	all := fstest.MapFS{}
	for name, text := range files {
		all["migration/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return migrate.Component{
		Name: "test", Files: all, DefaultSchema: "s", ErrConfig: errConfig, ErrSchema: errSchema,
		AppGrants: "GRANT USAGE ON SCHEMA /*schema*/pgcoherence TO %[1]s;\nGRANT SELECT ON /*schema*/pgcoherence.one TO %[1]s;",
	}
}

// one is a component of one table.
func one() migrate.Component {
	return component(map[string]string{"001_one.sql": "CREATE TABLE /*schema*/pgcoherence.one (a int)"})
}

// makeRole creates a role whose name has to be quoted, and returns the name as it is and as SQL has it.
func makeRole(t *testing.T, db *pgtest.DB, pool *pgxpool.Pool) (role, quoted string) {
	t.Helper()
	role = `r"; DROP TABLE s.one; -- ` + db.Name[len(db.Name)-8:]
	quoted = `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	execute(t, pool, "CREATE ROLE "+quoted)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP OWNED BY "+quoted+"; DROP ROLE "+quoted)
		require.NoError(t, err)
	})
	return role, quoted
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

// has returns the one boolean of a query.
func has(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (yes bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&yes), sql)
	return yes
}

// full is a writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, bytes.ErrTooLarge }
