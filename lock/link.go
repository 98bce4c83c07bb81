package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a connection or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// link is the connection that Run renews on: its own, because an application that has used up its pool must not lose its
// leases over it. If it cannot be made, the pool stands in. Only the loop of Run touches it.
type link struct {
	c    *core
	conn *pgx.Conn
}

const dialTimeout = 900 * time.Millisecond

// settings fit the connection to its work. A pooler gets none of them.
const settings = `SET application_name = '%s'; SET idle_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0; ` +
	`SET jit = off; SET default_transaction_isolation = 'read committed'`

// do runs statements within a time; after an error that is not the server's the connection is given up.
func (k *link) do(ctx context.Context, timeout time.Duration, f func(context.Context, querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if k.conn == nil || k.conn.IsClosed() {
		if err := k.dial(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return f(ctx, k.c.pool)
		}
	}
	err := f(ctx, k.conn)
	var pgErr *pgconn.PgError
	if err != nil && !errors.As(err, &pgErr) {
		k.close()
	}
	return err
}

func (k *link) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := k.connect(ctx)
	if err != nil {
		return fmt.Errorf("lock: connect: %w", err)
	}
	k.conn = conn
	var pid uint32
	if err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err == nil && pid == conn.PgConn().PID() {
		name := strings.ReplaceAll("pgcoherence lock "+k.c.cfg.Owner, "'", "''")
		_, err = conn.PgConn().Exec(ctx, fmt.Sprintf(settings, name)).ReadAll()
	}
	if err != nil {
		k.close()
		return fmt.Errorf("lock: connect: %w", err)
	}
	return nil
}

func (k *link) connect(ctx context.Context) (*pgx.Conn, error) {
	if k.c.cfg.Connect != nil {
		return k.c.cfg.Connect(ctx)
	}
	poolConfig := k.c.pool.Config()
	config := poolConfig.ConnConfig
	if poolConfig.BeforeConnect != nil {
		if err := poolConfig.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, config)
}

// close ends the connection without waiting for a server that may not answer.
func (k *link) close() {
	if k.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = k.conn.Close(ctx) // it ends either way
	k.conn = nil
}
