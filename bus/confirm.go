package bus

import (
	"context"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Confirm waits until no pod can serve a request that starts after its return from what the receipt's events made
// invalid. It returns nil when every pod has applied the events, or when one pod lease has passed: then no pod that
// has not applied them can still be fresh. So a pod that died, hangs or is cut off delays it by at most the pod
// lease. In a healthy cluster it takes a few milliseconds, even right after a start of this pod. In the first pod
// lease of an epoch, for example after a crash of the server, it takes until the end of that lease.
//
// A zero receipt is confirmed at once. [ErrUnconfirmed] means that the receipt's transaction did not commit, or that
// the log's epoch has changed since; [ErrNotRunning] that Run has not been called or has ended. Otherwise the error
// is that of ctx. Confirm uses no connection of the pool.
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
	// trust its cache. This process' monotonic clock decides, whether or not the database can be reached.
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
