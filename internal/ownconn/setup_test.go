package ownconn_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var (
	errNotPrimary = errors.New("test: not a primary")
	errConfig     = errors.New("test: invalid configuration")
)

// share is more than any attempt takes that does not have to be given up.
const share = 20 * time.Second

// dialer makes connections as a pool of this configuration would.
func dialer(t *testing.T, config *pgxpool.Config) *ownconn.Dialer {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &ownconn.Dialer{Pool: pool, ErrNotPrimary: errNotPrimary, ErrConfig: errConfig, Listens: true}
}

func poolConfig(t *testing.T, db *pgtest.DB) *pgxpool.Config {
	t.Helper()
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	return config
}

// dial returns a connection that is closed when the test ends.
func dial(t *testing.T, d *ownconn.Dialer) *ownconn.Conn {
	t.Helper()
	conn, err := d.Dial(t.Context(), "test", share)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func text(t *testing.T, conn *ownconn.Conn, sql string, args ...any) (value string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&value), sql)
	return value
}

// alter makes a setting of the database.
func alter(t *testing.T, db *pgtest.DB, setting string) {
	t.Helper()
	_, err := db.Pool(t).Exec(context.Background(), fmt.Sprintf("ALTER DATABASE %q SET %s", db.Name, setting))
	require.NoError(t, err)
}
