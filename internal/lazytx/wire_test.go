package lazytx_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// wire is the network under a connection, for tests that count messages and spoil them.
type wire struct {
	mu     sync.Mutex
	writes int
	onSend func([]byte) []byte // nil to do nothing
	drop   bool                // the next write arrives, and its answer is lost with the connection
}

type wireConn struct {
	net.Conn
	w *wire
}

func (c wireConn) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	c.w.writes++
	send, drop := c.w.onSend, c.w.drop
	c.w.drop = false
	c.w.mu.Unlock()

	out := b
	if send != nil {
		out = send(bytes.Clone(b))
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}

	if drop {
		_, _ = c.Read(make([]byte, 1<<16))
		_ = c.Close()
	}

	return len(b), nil
}

// sent returns how often f has written to the server.
func (w *wire) sent(f func()) int {
	w.mu.Lock()
	before := w.writes
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes - before
}

func (w *wire) set(f func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// connectWired opens a connection over a wire.
func connectWired(t testing.TB, dsn string, change func(*pgx.ConnConfig)) (*pgx.Conn, *wire) {
	t.Helper()
	w := &wire{}
	conn := connect(t, dsn, func(c *pgx.ConnConfig) {
		c.TLSConfig, c.Fallbacks = nil, nil // what is spoilt has to be readable
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return wireConn{conn, w}, err
		}
		if change != nil {
			change(c)
		}
	})
	require.NotNil(t, conn)
	return conn, w
}
