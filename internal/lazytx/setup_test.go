package lazytx_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// template is a database with the tables that the tests write to.
var template = &pgtest.Template{Name: "lazytx", Make: func(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE TABLE item (id text PRIMARY KEY, value bigint NOT NULL DEFAULT 0 CHECK (value < 1000));
		CREATE TABLE child (item text REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED);`+fill)
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}}

const fill = "INSERT INTO item SELECT i::text, i FROM generate_series(1, 100) AS i"

// modes are pgx' exec modes.
var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// connect opens a connection that is closed at the test's end.
func connect(t testing.TB, dsn string, change func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	if change != nil {
		change(config)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// noRows is for a CommitWith whose statements return none, or none that matter.
func noRows([][]byte) {}
