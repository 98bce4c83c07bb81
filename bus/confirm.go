package bus

import (
	"context"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Confirm waits until no request that starts after it returned can be served what the receipt's events made invalid, by
// any pod. It returns nil when every pod has applied the events, or when one pod lease has passed, after which no pod
// that has not can still be fresh. So a pod that died, hangs or is cut off delays it by at most the pod lease. On a
// cluster in which all is well it takes a few milliseconds, also for a pod that has just started; in the first pod lease of
// an epoch, as after a crash of the server, it takes that long.
//
// A zero receipt is confirmed at once. ErrUnconfirmed: the receipt's transaction did not commit, or the log's epoch has
// changed since. ErrNotRunning: Run has not been called or has ended. Otherwise the error is that of ctx. Any goroutine may
// call it; it uses no connection of the pool.
func (p *Postgres) Confirm(ctx context.Context, r Receipt) error {
	if r.IsZero() {
		return nil
	}
	if state := p.health.connections(); state == Starting || state == Closed {
		return ErrNotRunning
	}

	c := &confirmation{receipt: r, done: make(chan error, 1), begun: make(chan time.Duration, 1)}
	if !p.confirms.add(c) {
		return ErrNotRunning
	}
	p.requests.signal()
	defer p.confirms.remove(c)

	// A pod that has not applied the events within a pod lease has not been able to prove freshness for longer than it may
	// trust its cache. This process' monotonic clock decides, whether or not the database still answers.
	var lease <-chan time.Time
	for {
		select {
		case err := <-c.done:
			return err
		case d := <-c.begun:
			lease = time.After(d)
		case <-lease:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// confirmation is one Confirm that waits.
type confirmation struct {
	receipt Receipt
	done    chan error         // holds one
	begun   chan time.Duration // holds one: how long from now the pod lease lasts that began with the snapshot
	epoch   string
	after   position.Stamp // every position has to reach this
	since   time.Time      // when the snapshot was asked for; zero: not yet
	lease   time.Duration  // for how long a pod can at most trust its cache, as of then
}

// confirmations are the Confirms that wait, passed from their goroutines to the control loop.
type confirmations struct {
	mu      sync.Mutex
	waiting []*confirmation
	closed  bool
}

func (w *confirmations) add(c *confirmation) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.waiting = append(w.waiting, c)
	}
	return !w.closed
}

func (w *confirmations) remove(c *confirmation) {
	w.settle(func(o *confirmation) bool { return o == c })
}

// settle takes out those for which done returns true.
func (w *confirmations) settle(done func(*confirmation) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.waiting[:0]
	for _, c := range w.waiting {
		if !done(c) {
			kept = append(kept, c)
		}
	}
	clear(w.waiting[len(kept):])
	w.waiting = kept
}

// list returns a copy of those that wait.
func (w *confirmations) list() []*confirmation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*confirmation(nil), w.waiting...)
}

// close ends all that wait, and all that come, with ErrNotRunning.
func (w *confirmations) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.settle(func(c *confirmation) bool {
		c.done <- ErrNotRunning
		return true
	})
}
