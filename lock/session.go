package lock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// session is what the leases of this process end with, if Config.TakeoverAfter says so: an advisory lock, held by a
// connection that does nothing else. A waiter sees by the lock that the session has ended, and takes
// the lease when TakeoverAfter has passed since then. This process relies on its leases for a little less than that after it
// sent the last query that returned in the session: the session lived then. So it has stopped, or written another session into
// the rows, before anybody else can have them, and no packet that is late or lost changes that.
type session struct {
	id     int64 // of its lock; larger than those of the sessions before it
	trust  time.Duration
	proven atomic.Pointer[time.Time] // when the newest query was sent that returned
	timer  *time.Timer               // ends the leases when it has not been proven in time
}

// sessionProofs is how often a session is proven in the time that a proof lasts.
const sessionProofs = 5

// sessionSettings have the server find out soon that a machine is gone.
var sessionSettings = []ownconn.Setting{
	{Name: "tcp_keepalives_idle", Value: "1"}, {Name: "tcp_keepalives_interval", Value: "1"}, {Name: "tcp_keepalives_count", Value: "2"},
}

// left is for how long leases that end with the session can be relied on, if it is not proven again.
func (s *session) left(now time.Time) time.Duration {
	return s.trust - elapsed.Between(*s.proven.Load(), now)
}

func (s *session) prove(sent time.Time) {
	s.proven.Store(&sent)
	s.timer.Reset(s.left(time.Now()))
}

// sessions keeps one session after the other.
type sessions struct {
	c       *core
	dialer  *ownconn.Dialer
	last    atomic.Int64            // the id of the newest, or of none after it
	current atomic.Pointer[session] // nil for none
	failing bool                    // one line in the log per outage
}

func newSessions(c *core) *sessions {
	d := newConnections(c.pool, &c.cfg)
	d.Settings = sessionSettings
	s := &sessions{c: c, dialer: d}
	s.last.Store(rand.Int64N(1 << 61))
	return s
}

// errPooled: an advisory lock would belong to the pooler.
var errPooled = fmt.Errorf("%w: TakeoverAfter takes a direct connection to the server, and a pooler stands between: set Connect", ErrConfig)

// open makes a connection and takes its lock.
func (s *sessions) open(ctx context.Context) (*ownconn.Conn, *session, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()

	conn, err := s.dialer.Dial(ctx, "pgcoherence lock session "+s.c.cfg.Owner, dialTimeout)
	if err != nil {
		return nil, nil, err
	}

	if conn.Pooled {
		conn.Close()
		return nil, nil, errPooled
	}

	one := &session{id: s.last.Add(1), trust: trust(s.c.cfg.TakeoverAfter)}
	sent, got := time.Now(), false
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", one.id).Scan(&got); err != nil || !got {
		conn.Close()
		return nil, nil, errors.Join(err, fmt.Errorf("lock: session: advisory lock taken: %t", got))
	}

	one.timer = time.AfterFunc(one.trust, s.c.expire)
	one.prove(sent)
	return conn, one, nil
}

// run keeps a session until ctx ends, the first one being there already or nil.
func (s *sessions) run(ctx context.Context, conn *ownconn.Conn, one *session) {
	wait := backoff.Backoff{Base: 10 * time.Millisecond, Max: 250 * time.Millisecond}

	for {
		if conn != nil {
			s.change(one)
			err := s.prove(ctx, conn, one)
			s.last.Add(1) // of the time without one
			s.change(nil)
			conn.Close()
			if ctx.Err() != nil {
				one.timer.Stop()
				return
			}
			s.c.metrics.sessionsLost.Add(1)
			s.note(ctx, err)
		}
		var err error
		if conn, one, err = s.open(ctx); err == nil {
			wait.Reset()
			s.failing = false
			continue
		}
		s.note(ctx, err)
		if !backoff.Wait(ctx, wait.Next()) {
			return
		}
	}
}

// prove asks again and again until the session does not answer.
func (s *sessions) prove(ctx context.Context, conn *ownconn.Conn, one *session) error {
	for backoff.Wait(ctx, one.trust/sessionProofs) {
		sent := time.Now()
		asking, cancel := context.WithTimeout(ctx, one.left(sent))
		err := conn.Ping(asking)
		cancel()
		if err != nil {
			return err
		}
		one.prove(sent)
	}
	return context.Cause(ctx)
}

// change has all leases renewed at once, under another session or under none.
func (s *sessions) change(one *session) {
	s.current.Store(one)
	s.c.wakeLoop()
}

func (s *sessions) note(ctx context.Context, err error) {
	if s.failing || ctx.Err() != nil {
		return
	}
	s.failing = true
	s.c.log.WarnContext(ctx, "session that leases end with is lost, trying again; they last for their TTL meanwhile", slog.Any("error", err))
}

// binding is what a renewal writes into rows: the session, nil if leases do not end with any, and negative for the time
// without one; and the grace after its end. Numbers only grow, so that a statement that is late changes nothing.
func (s *sessions) binding() (one *session, id, grace *int64) {
	if s == nil {
		return nil, nil, nil
	}

	after := s.c.cfg.TakeoverAfter.Milliseconds()
	grace = &after
	if one = s.current.Load(); one != nil && one.left(time.Now()) > 0 {
		return one, &one.id, grace
	}

	if one != nil { // its end is about to be noticed
		ending := -one.id - 1
		return nil, &ending, grace
	}

	without := -s.last.Load()
	return nil, &without, grace
}
