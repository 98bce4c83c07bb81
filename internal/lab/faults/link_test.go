package main

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLink: a black hole swallows one direction of one path, and healing ends the connections it has robbed.
func TestLink(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })

	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}

			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()

	link, err := newLink("pod", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(link.close)

	dial := func(way path) net.Conn {
		dsn, err := link.dsn(way, "postgres://nobody@127.0.0.1:1/nothing")
		require.NoError(t, err)
		host, err := hostOf(dsn)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", host)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}

	echo := func(conn net.Conn) error {
		require.NoError(t, conn.SetDeadline(time.Now().Add(200*time.Millisecond)))
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}

	listen, control := dial(listenPath), dial(controlPath)
	require.NoError(t, echo(listen))
	require.NoError(t, echo(control))
	require.NoError(t, link.poison(listenPath, blackHole(downstream)))
	var timeout net.Error
	require.ErrorAs(t, echo(listen), &timeout)
	require.True(t, timeout.Timeout(), "the connection stays")
	require.NoError(t, echo(control), "the other path is well")
	link.heal(context.Background())
	require.Error(t, echo(listen))
	require.NoError(t, echo(dial(listenPath)))
	require.Error(t, link.poison(listenPath, toxic{Type: "nonsense", Stream: upstream}))
}
