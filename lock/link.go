package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/ownconn"
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
	conn *ownconn.Conn
}

// dialTimeout is for each address of the pool's configuration.
const dialTimeout = 900 * time.Millisecond

var errNotPrimary = errors.New("server is not a writable primary")

// newConnections returns what makes the connections that do not come from the pool.
func newConnections(pool *pgxpool.Pool, cfg *Config) *ownconn.Dialer {
	return &ownconn.Dialer{Pool: pool, Connect: cfg.Connect, ErrNotPrimary: errNotPrimary, ErrConfig: ErrConfig}
}

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

func (k *link) dial(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout) // then the pool stands in
	defer cancel()
	k.conn, err = k.c.connections.Dial(ctx, "pgcoherence lock "+k.c.cfg.Owner, dialTimeout)
	if err != nil {
		return fmt.Errorf("lock: connect: %w", err)
	}
	return nil
}

// close ends the connection without waiting for a server that may not answer.
func (k *link) close() {
	if k.conn == nil {
		return
	}
	k.conn.Close()
	k.conn = nil
}
