package redistier_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// peer is a server on a port of its own that is no Redis, or a bad one: each connection is handed to serve.
type peer struct {
	listener net.Listener
	serve    func(net.Conn)

	mu    sync.Mutex
	conns []net.Conn
	total int
	all   sync.WaitGroup
}

func newPeer(t testing.TB, serve func(net.Conn)) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &peer{listener: listener, serve: serve}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *peer) url() string { return "redis://" + p.listener.Addr().String() }

func (p *peer) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}

		p.mu.Lock()
		p.conns = append(p.conns, conn)
		p.total++
		p.mu.Unlock()
		p.all.Go(func() {
			p.serve(conn)
			conn.Close()
		})
	}
}

func (p *peer) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

func (p *peer) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}

// silent accepts, reads, and never answers.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

const hello = "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"

// answering speaks just enough to be connected to, and gives this answer to every command of a user.
func answering(answer func(words []string) string) func(net.Conn) {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			words, err := readCommand(r)
			if err != nil {
				return
			}

			text := ""
			switch strings.ToUpper(words[0]) {
			case "HELLO":
				text = hello
			case "CLIENT":
				text = "+OK\r\n"
			case "CLUSTER":
				text = "-ERR This instance has cluster support disabled\r\n"
			default:
				text = answer(words)
			}

			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r)
	if err != nil {
		return nil, err
	}

	words := make([]string, n)
	for i := range words {
		size, err := readLength(r)
		if err != nil {
			return nil, err
		}

		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}

		words[i] = string(text[:size])
	}

	return words, nil
}

func readLength(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 4 {
		return 0, fmt.Errorf("line %q", line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
