package lock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

const (
	waiterBeat   = time.Second            // how often waiters show that they are alive
	waiterAlive  = 5 * time.Second        // silent for so long, they count as dead
	waiterKept   = time.Minute            // silent for so long, their rows are deleted
	pollInterval = 250 * time.Millisecond // of waiters while the bus does not bring events
	patience     = 5 * time.Second        // of what is done although the caller's context has ended
	longestTry   = 15 * time.Second       // of one statement that takes a lease
)

// core is what Lockers made by With share.
type core struct {
	cfg         Config
	bus         bus.Bus
	pool        *pgxpool.Pool
	connections *ownconn.Dialer // for the one that does not come from the pool
	sql         *queries
	log         *slog.Logger
	metrics     *metrics

	seen      atomic.Int64          // the largest token granted here
	place     atomic.Pointer[place] // where the incarnation was last found to hold
	member    string                // this process, in the rows of its waiters
	releases  *releases
	takings   *takings
	leaves    leaves
	entry     chan struct{} // holds those who ask for a lease or enter a queue: some connections are left for all else
	outage    outage
	savepoint atomic.Bool     // it was logged that a guard was taken inside one
	sessions  *sessions       // nil if leases do not end with sessions
	weak      hook.LockGuards // off; the zero value but in tests of faults
	poke      chan struct{}   // the loop of Run has something to do
	closed    chan struct{}   // closed when Run is about to end

	// Only the loop of Run uses these: waiters that the last touch did not come to, and how many it takes at a time.
	untouched []string
	chunk     int
	failing   bool // one line in the log per outage

	mu       sync.Mutex
	running  bool
	started  bool
	warned   bool // of a grant that nothing renews
	closing  bool
	leases   map[*Lease]struct{} // what Run renews
	waiters  map[string]*waiter  // by id
	awaited  map[string]int      // how many of them wait for a key
	watchers map[string]map[chan struct{}]struct{}
	changed  []string  // hashes of keys whose leases are to be looked at now
	touchAt  time.Time // when the waiters have to be touched at the latest
}

// add has leases renewed from now on, and reports whether that is possible.
func (c *core) add(leases ...*Lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	if !c.started && !c.warned {
		c.warned = true
		c.log.Warn("lease granted, but Run was not called: nothing renews it, and it ends with its TTL")
	}

	for _, l := range leases {
		c.leases[l] = struct{}{}
		if l.locker.options.TTL/3 < look { // else the loop comes by in time
			c.wakeLoop()
		}
	}

	return true
}

func (c *core) remove(l *Lease) {
	c.mu.Lock()
	delete(c.leases, l)
	last := c.closing && len(c.leases) == 0
	c.mu.Unlock()
	if last {
		c.wakeLoop()
	}
}

func (c *core) wakeLoop() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

func (c *core) isRunning() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// open is nil until Run ends.
func (c *core) open() error {
	select {
	case <-c.closed:
		return ErrClosed
	default:
		return nil
	}
}

// detached is for what has to be done although the caller's context may have ended.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// handOver runs a statement that may hand a lease over and returns to whom, and sees to it that the waiter learns of it:
// from the statement itself, which gives a hint over the bus and so is as quick as can be, else by an event. One of this
// process is woken directly as well. If nothing of that works, the waiter finds out when its process touches its waiters.
//
// The last two parameters of the statement are where the hint goes to.
func (c *core) handOver(ctx context.Context, sql string, args []any, next **string) error {
	hinted, err := c.withHint(func(channel, prefix *string) error {
		return c.row(ctx, sql, append(args[:len(args):len(args)], channel, prefix), next)
	})
	if err == nil && *next != nil {
		c.handed(ctx, **next, hinted)
	}
	return err
}

// withHint sends a statement that hints to where hintTo says, and once more without a hint if the notification queue is
// full. It reports whether the statement has hinted.
func (c *core) withHint(send func(channel, prefix *string) error) (hinted bool, err error) {
	channel, prefix, hinted := c.hintTo()
	err = send(channel, prefix)
	if hinted && pgerr.IsQueueFull(err) {
		return false, send(nil, nil)
	}
	return hinted, err
}

// handed wakes a waiter that was handed a lease.
func (c *core) handed(ctx context.Context, id string, hinted bool) {
	c.metrics.handed.Add(1)
	if !c.wake(id) && !hinted {
		c.publish(ctx, id)
	}
}

// hintTo is where the hint of a hand-over goes to; nil if there is no such way at the moment.
func (c *core) hintTo() (channel, prefix *string, ok bool) {
	h, ok := hook.SourceOf(c.bus).(hook.Hinter)
	if !ok {
		return nil, nil, false
	}
	to, begin, ok := h.HintTo(Topic)
	if !ok {
		return nil, nil, false
	}
	return &to, &begin, true
}

// announce notifies all processes that the state of a key may have changed.
func (c *core) announce(ctx context.Context, key string) {
	c.look(hashOf(key))
	c.publish(ctx, lookPrefix+hashOf(key))
}

func (c *core) publish(ctx context.Context, key string) {
	if c.bus == nil {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	event := bus.Event{Topic: Topic, Keys: []string{key}}
	_, err := c.bus.Publish(ctx, event)
	if err != nil {
		c.metrics.unpublished.Add(1)
		c.log.WarnContext(ctx, "hand-over not published, waiters find it by themselves", slog.Any("error", err))
	}
}

// hashOf is what events call a key: of bounded length, and not the key itself.
func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
