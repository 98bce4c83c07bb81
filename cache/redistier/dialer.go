package redistier

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// How dials of one address are spaced out.
const (
	backoffBase = 50 * time.Millisecond
	backoffMax  = 2 * time.Second
	settled     = time.Second // a connection that lived so long was a good one
)

// errLost is what commands get that find their connection gone; the next ones find another.
var errLost = errors.New("redistier: connection lost")

// dialer makes the connections of one rueidis client, and knows them all. It is what keeps a caller from waiting for a
// dial: the client of a standalone server is sealed once it has its connection, so that rueidis never dials again under a
// command, and what replaces the client is ours. Clusters and sentinels need rueidis' own dials; there commands run on
// goroutines of the Tier.
type dialer struct {
	life         context.Context // ends with Close
	timeout      time.Duration
	writeTimeout time.Duration
	maxValue     int
	onLost       func() // a connection of a sealed dialer was closed

	mu     sync.Mutex
	sealed bool
	closed bool
	conns  map[*guarded]struct{}
	gates  map[string]*gate
}

// gate spaces out the dials of one address.
type gate struct {
	backoff backoff.Backoff
	next    time.Time
}

// markSentinel distinguishes a dial of a sentinel from one of a server: rueidis passes the dialer's settings to both.
func markSentinel(string, string, syscall.RawConn) error { return nil }

// dial is rueidis' DialCtxFn.
func (d *dialer) dial(ctx context.Context, address string, settings *net.Dialer, tlsConfig *tls.Config) (net.Conn, error) {
	wait, err := d.enter(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait+d.timeout)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()

	// rueidis asks again at once where a dial fails at once.
	if !backoff.Wait(ctx, wait) {
		return nil, context.Cause(ctx)
	}

	network := "tcp"
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		network = "unix"
	}

	var conn net.Conn
	if tlsConfig != nil {
		conn, err = (&tls.Dialer{NetDialer: settings, Config: tlsConfig}).DialContext(ctx, network, address)
	} else {
		conn, err = settings.DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	return d.admit(conn, settings.Control != nil)
}

// enter returns how long to wait before the address may be dialled.
func (d *dialer) enter(address string) (time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, ErrClosed
	}
	if d.sealed {
		return 0, errLost
	}

	g := d.gates[address]
	if g == nil {
		g = &gate{backoff: backoff.Backoff{Base: backoffBase, Max: backoffMax}}
		d.gates[address] = g
	}

	now := time.Now()
	wait := max(g.next.Sub(now), 0)
	if now.Sub(g.next) > settled {
		g.backoff.Reset()
	}
	g.next = now.Add(wait + g.backoff.Next())
	return wait, nil
}

func (d *dialer) admit(conn net.Conn, sentinel bool) (net.Conn, error) {
	var g *guarded
	g = newGuarded(conn, d.writeTimeout, d.maxValue, sentinel, func() { d.left(g) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	d.conns[g] = struct{}{}
	return g, nil
}

// left is called once for every connection that was admitted.
func (d *dialer) left(g *guarded) {
	d.mu.Lock()
	delete(d.conns, g)
	lost := d.sealed && !d.closed
	d.mu.Unlock()
	if lost {
		d.onLost()
	}
}

// seal refuses all further dials.
func (d *dialer) seal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
}

// alive reports whether there is a connection.
func (d *dialer) alive() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns) > 0
}

// close ends every connection, and the commands that wait for replies on it.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for g := range conns {
		_ = g.Conn.Close() // not g.Close, which calls left
	}
}

// hangUp ends the connections as their loss would.
func (d *dialer) hangUp() {
	d.mu.Lock()
	conns := make([]*guarded, 0, len(d.conns))
	for g := range d.conns {
		conns = append(conns, g)
	}
	d.mu.Unlock()
	for _, g := range conns {
		_ = g.Close()
	}
}
