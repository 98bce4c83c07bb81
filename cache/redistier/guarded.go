package redistier

import (
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// guarded is a connection whose bytes are looked through before rueidis sees them, because a peer that does not speak
// RESP, or replies to what was not asked, makes rueidis panic where it cannot be recovered. The first offence ends the
// connection. rueidis reads in one goroutine and writes in another.
type guarded struct {
	net.Conn
	writeTimeout time.Duration
	lenient      bool // a sentinel's: it pushes, and over RESP2 that looks like replies

	owed     atomic.Int64 // replies
	replies  frames
	requests frames
	bounded  time.Time // when the deadline of writes was set; of the writing goroutine

	onClose func()
	once    sync.Once
}

func newGuarded(conn net.Conn, writeTimeout time.Duration, maxValue int, sentinel bool, onClose func()) *guarded {
	// Another pod's MaxValueSize may be larger than ours.
	most := max(64<<20, 2*int64(maxValue))
	return &guarded{
		Conn: conn, writeTimeout: writeTimeout, lenient: sentinel, onClose: onClose,
		replies: frames{maxBulk: most, push: sentinel}, requests: frames{maxBulk: math.MaxInt64 - 2},
	}
}

// Read implements net.Conn.
func (g *guarded) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if n == 0 {
		return n, err
	}

	complete, frameErr := g.replies.feed(b[:n])
	if owed := g.owed.Add(-int64(complete)); frameErr == nil && owed < 0 && !g.lenient {
		frameErr = fmt.Errorf("%w: a reply that was not asked for", ErrProtocol)
	}

	if frameErr != nil {
		_ = g.Close()
		return 0, frameErr
	}
	return n, err
}

// Write implements net.Conn.
func (g *guarded) Write(b []byte) (int, error) {
	complete, err := g.requests.feed(b)
	if err != nil {
		return 0, err
	}
	g.owed.Add(int64(complete)) // before the reply can come

	// Setting a deadline costs more than it looks: a write may have an eighth less than the whole timeout.
	if now := time.Now(); now.Sub(g.bounded) > g.writeTimeout/8 {
		if err := g.SetWriteDeadline(now.Add(g.writeTimeout)); err != nil {
			return 0, err
		}
		g.bounded = now
	}

	return g.Conn.Write(b)
}

// SetDeadline implements net.Conn, for reads alone: writes have a deadline of their own.
func (g *guarded) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }

// Close implements net.Conn.
func (g *guarded) Close() error {
	err := g.Conn.Close()
	g.once.Do(g.onClose)
	return err
}
