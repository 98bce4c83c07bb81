package pgtest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// childVariable makes this binary start a server, print its DSN or the error,
// and wait to be killed.
const childVariable = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(pgtest.Main(m))
}

func child() int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // two programs may have to be built
	defer cancel()

	server, err := pgtest.Start(ctx, &pgtest.Config{
		Crashable: os.Getenv(childVariable) == "crashable",
		Mirror:    "http://127.0.0.1:1",
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}

	fmt.Println(server.DSN(""))
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or until the parent ends
	_ = server.Close()
	return 0
}

// connect opens a session that ends with the test.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// query returns the one value of a query.
func query[T any](t *testing.T, dsn, sql string, args ...any) T {
	t.Helper()
	conn := connect(t, dsn)
	var value T
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&value))
	require.NoError(t, conn.Close(t.Context()))
	return value
}

func exec(t *testing.T, dsn, sql string) {
	t.Helper()
	conn := connect(t, dsn)
	_, err := conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}
