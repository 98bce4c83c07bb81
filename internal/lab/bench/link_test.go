package main

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo sends back each line, with a name before it.
func echo(t *testing.T, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})

	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			all.Go(func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if _, err := io.WriteString(conn, name+lines.Text()+"\n"); err != nil {
						return
					}
				}
			})
		}
	})

	return listener.Addr().String()
}

// TestLink: it passes on, leads elsewhere, has new connections wait while it is silent, and ends connections.
func TestLink(t *testing.T) {
	t.Parallel()
	l, err := startLink(echo(t, "one "))
	require.NoError(t, err)
	t.Cleanup(l.close)
	dial := func() (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", l.address())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		return conn, bufio.NewReader(conn)
	}
	say := func(conn net.Conn, text string) {
		_, err := io.WriteString(conn, text+"\n")
		require.NoError(t, err)
	}
	hear := func(from *bufio.Reader, want string) {
		t.Helper()
		line, err := from.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want+"\n", line)
	}

	first, heard := dial()
	say(first, "a")
	hear(heard, "one a")
	l.lead(echo(t, "two "))
	second, heardBySecond := dial()
	say(second, "b")
	hear(heardBySecond, "two b")
	say(first, "c")
	hear(heard, "one c")

	l.silence(true)
	third, heardByThird := dial() // is accepted, and gets nowhere
	say(third, "d")
	l.silence(false)
	hear(heardByThird, "two d")

	l.cut()
	_, err = heard.ReadString('\n')
	require.Error(t, err)
	fourth, heardByFourth := dial()
	say(fourth, "e")
	hear(heardByFourth, "two e")
}
