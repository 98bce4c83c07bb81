package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// fakeServer speaks just enough of Postgres' protocol for a bus to live on it, over net.Pipe, so that a test under
// synctest sees hours of protocol time in milliseconds. It is for timers only; what SQL does is for a real server.
type fakeServer struct {
	mu        sync.Mutex
	xid       uint64
	epoch     string
	pods      int
	refuse    bool // connections are refused
	swallow   bool // answers are swallowed: a black hole
	deaf      bool // LISTEN is accepted and nothing is delivered
	listeners map[*fakeConn]bool

	dials, beats, notifies, differences atomic.Int64
	// slowReads is how many differences from now on take slowRead each.
	slowReads atomic.Int64
	latency   time.Duration // of every statement
}

func newFakeServer() *fakeServer {
	return &fakeServer{xid: 1000, epoch: "e1/1/1/1/1/0", pods: 1, listeners: map[*fakeConn]bool{}}
}

func (s *fakeServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// connect is a Config.Connect.
func (s *fakeServer) connect(ctx context.Context) (*pgx.Conn, error) {
	s.dials.Add(1)
	config, err := pgx.ParseConfig("postgres://fake@fake/fake?sslmode=disable&default_query_exec_mode=simple_protocol")
	if err != nil {
		return nil, err
	}

	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()

		if s.refuse {
			return nil, errors.New("connection refused")
		}

		client, server := net.Pipe()
		c := &fakeConn{server: s, net: server, backend: pgproto3.NewBackend(server, server), out: make(chan []pgproto3.BackendMessage, 1024)}
		go c.write()
		go c.serve()
		return client, nil
	}
	return pgx.ConnectConfig(ctx, config)
}

// fakeConn is one connection. Everything it sends goes through one goroutine, as a notification may come at any time.
type fakeConn struct {
	server  *fakeServer
	net     net.Conn
	backend *pgproto3.Backend
	out     chan []pgproto3.BackendMessage
}

func (c *fakeConn) write() {
	for messages := range c.out {
		for _, m := range messages {
			c.backend.Send(m)
		}
		if c.backend.Flush() != nil {
			_ = c.net.Close() // and go on, so that nobody waits for room in out
		}
	}
}

func (c *fakeConn) serve() {
	defer func() {
		c.server.set(func() { delete(c.server.listeners, c) })
		close(c.out)
		_ = c.net.Close()
	}()

	if _, err := c.backend.ReceiveStartupMessage(); err != nil {
		return
	}

	c.send(&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{0, 0, 0, 1}}, &pgproto3.ReadyForQuery{TxStatus: 'I'})

	for {
		m, err := c.backend.Receive()
		if err != nil {
			return
		}

		if q, ok := m.(*pgproto3.Query); ok {
			c.server.mu.Lock()
			latency := c.server.latency
			c.server.mu.Unlock()
			time.Sleep(latency)

			if strings.Contains(q.String, firstOfDifference) && c.server.slowReads.Add(-1) >= 0 {
				time.Sleep(slowRead)
			}

			c.send(append(c.answer(q.String), &pgproto3.ReadyForQuery{TxStatus: 'I'})...)
		}
	}
}

// send sends, unless the network swallows it.
func (c *fakeConn) send(messages ...pgproto3.BackendMessage) {
	c.server.mu.Lock()
	swallow := c.server.swallow
	c.server.mu.Unlock()
	if !swallow {
		c.out <- messages
	}
}

type column struct {
	oid   uint32
	value any // nil for NULL
}

func row(columns ...column) []pgproto3.BackendMessage {
	var fields []pgproto3.FieldDescription
	var values [][]byte
	for i, col := range columns {
		fields = append(fields, pgproto3.FieldDescription{Name: fmt.Appendf(nil, "c%d", i), DataTypeOID: col.oid, DataTypeSize: -1, TypeModifier: -1})
		if col.value == nil {
			values = append(values, nil)
		} else {
			values = append(values, fmt.Appendf(nil, "%v", col.value))
		}
	}
	return []pgproto3.BackendMessage{
		&pgproto3.RowDescription{Fields: fields}, &pgproto3.DataRow{Values: values}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
	}
}

const (
	oidBool, oidInt8, oidInt4, oidText, oidFloat8        = 16, 20, 23, 25, 701
	oidTextArray, oidXID8                         uint32 = 1009, 5069
)

const (
	firstOfDifference = "AS now_at"
	slowRead          = 200 * time.Millisecond
)

// answer answers a statement, known by its first words.
func (c *fakeConn) answer(sql string) []pgproto3.BackendMessage {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now().UnixMicro()
	done := func(tag string) []pgproto3.BackendMessage {
		return []pgproto3.BackendMessage{&pgproto3.CommandComplete{CommandTag: []byte(tag)}}
	}
	switch {
	case strings.Contains(sql, "pg_is_in_recovery"):
		return row(column{oidBool, "f"}, column{oidBool, "f"}, column{oidInt4, 7})
	case strings.HasPrefix(sql, `NOTIFY "pgcoherence:probe"`): // a connection sees whether notifications get out of the driver
		return append([]pgproto3.BackendMessage{&pgproto3.NotificationResponse{PID: 7, Channel: "pgcoherence:probe"}}, done("NOTIFY")...)
	case strings.Contains(sql, "set_config"):
		return row(column{oidText, "x"})
	case strings.HasPrefix(sql, "SET "):
		return done("SET")
	case strings.Contains(sql, "max(version)"):
		return row(column{oidInt4, 99}, column{oidBool, "f"}, column{oidText, "me"})
	case strings.Contains(sql, "has_table_privilege"):
		return row(column{oidTextArray, "{}"}, column{oidTextArray, "{}"}, column{oidText, "me"})
	case strings.Contains(sql, "SELECT ceil(1000 * extract(epoch FROM greatest("):
		return row(column{oidInt8, 5000}, column{oidInt8, 5000})
	case strings.Contains(sql, "AS other WHERE other.id <>"):
		return row(column{oidInt8, s.pods - 1})
	case strings.HasPrefix(sql, "listen "):
		s.listeners[c] = true
		return done("LISTEN")
	case strings.Contains(sql, firstOfDifference):
		s.differences.Add(1)
		return row(column{oidText, s.epoch}, column{oidText, "00"}, column{oidText, nil}, column{oidText, s.snapshot()}, column{oidInt8, now},
			column{oidXID8, nil}, column{oidInt4, nil}, column{oidText, nil}, column{oidTextArray, nil}, column{oidBool, nil}, column{oidInt8, nil}, column{oidInt8, nil})
	case strings.Contains(sql, "SET beat = beat %"):
		s.beats.Add(1)
		answer := row(column{oidText, s.snapshot()}, column{oidText, s.epoch}, column{oidText, "(0,1)"}, column{oidInt8, now},
			column{oidFloat8, 0.25}, column{oidInt8, 5000}, column{oidInt8, 5000})
		s.xid++
		return answer
	case strings.Contains(sql, "pg_notify("):
		s.notifies.Add(1)
		return row(column{oidTextArray, "{}"}, column{oidInt8, s.deliver(sql)})
	case strings.Contains(sql, "pg_stat_get_live_tuples"):
		return row(column{oidInt8, 5}, column{oidInt8, nil})
	case strings.Contains(sql, "claimed"):
		return row(column{oidInt8, 1}, column{oidInt8, 0}, column{oidText, nil})
	case strings.Contains(sql, "SELECT id::text, beat"):
		answer := row(column{oidText, "0"}, column{oidInt8, s.beats.Load()}, column{oidInt8, 3000})
		done := answer[len(answer)-1]
		answer = answer[:len(answer)-1]
		for i := 1; i < s.pods; i++ {
			answer = append(answer, row(column{oidText, i}, column{oidInt8, s.beats.Load()}, column{oidInt8, 3000})[1])
		}
		return append(answer, done)
	}

	return done("DO 0") // deregister, prune
}

func (s *fakeServer) snapshot() string { return fmt.Sprintf("%d:%d:", s.xid, s.xid) }

// deliver sends the payloads of a NOTIFY statement, which stand in it as an array literal, and says how many there are.
func (s *fakeServer) deliver(sql string) int {
	s.xid++
	n := 0
	for rest := sql; ; {
		start := strings.Index(rest, `"1 `)
		if start < 0 {
			return n
		}

		rest = rest[start+1:]
		var payload strings.Builder
		for i := 0; i < len(rest); i++ {
			if rest[i] == '\\' {
				i++
			} else if rest[i] == '"' {
				rest = rest[i:]
				break
			}
			payload.WriteByte(rest[i])
		}

		n++

		if s.deaf || s.swallow {
			continue
		}

		s.broadcast(payload.String())
	}
}

// broadcast sends a notification to all that listen. The caller holds mu.
func (s *fakeServer) broadcast(payload string) {
	for l := range s.listeners {
		l.out <- []pgproto3.BackendMessage{&pgproto3.NotificationResponse{PID: 7, Channel: "pgcoherence:pgcoherence", Payload: payload}}
	}
}
