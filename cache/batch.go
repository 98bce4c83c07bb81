package cache

import (
	"context"
	"sync"
	"sync/atomic"
)

// loadBatch is one call of the loader: for one key, or for those of a batch. It has a goroutine of its own, see run.
type loadBatch[K comparable, V any] struct {
	ctx      context.Context // ends early when no reader waits, or with the cache
	cancel   context.CancelCauseFunc
	reader   context.Context // of the reader that began it
	shared   context.Context // with the reader's values; from when it runs
	outer    *loadMark       // the loads that the reader is within; nil: none
	noTier   bool            // a refresh: the tier's value is no newer
	primary  atomic.Bool     // the loader is to read from the primary, see WantPrimary
	storable bool            // the bus was fresh when it began to read
	trusted  bool            // the bus was fresh when it was recorded; for the tier
	permits  chan struct{}   // one is needed to read; nil: none
	calls    []*call[K, V]

	turn   chan struct{} // closed when it may begin; nil: at once
	waived chan struct{} // closed when a reader waits for it whose own load may have a permit

	mu      sync.Mutex
	reading context.Context // once the loader runs: ctx with LoadTimeout
	waiters int
	left    int  // calls that have not ended
	started bool // the loader was called
	over    bool // no reader waits, and it has not started
	waiving bool
	release func() // gives back the permit when the last call has ended; nil: there is none
	claimed func() // ends the claim of a refresh; nil: it is none
}

// newBatch makes a batch for a reader within other loads, or none; nothing runs yet. A lock may be held.
func (c *Cache[K, V]) newBatch(reader context.Context, outer *loadMark, trusted bool) *loadBatch[K, V] {
	l := &loadBatch[K, V]{reader: reader, outer: outer, trusted: trusted, waived: make(chan struct{})}
	if outer == nil {
		l.permits = c.permits
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// join adds a reader, unless the batch was given up.
func (l *loadBatch[K, V]) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.waiters++
	return true
}

// leave takes a reader away. If no reader waits for it any more, a batch that has not started is given up, and one that
// has started only if cancelStarted says so.
func (l *loadBatch[K, V]) leave(cancelStarted bool) {
	l.mu.Lock()
	l.waiters--
	last := l.waiters == 0 && l.left > 0 && (!l.started || cancelStarted)
	l.over = l.over || last
	l.mu.Unlock()

	if last {
		l.cancel(errAbandoned)
	}
}

// begin reports whether the loader may be called. The batch is not given up after that.
func (l *loadBatch[K, V]) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.left == 0 {
		return false
	}
	l.started = true
	return true
}

// hasEnded reports whether all calls have.
func (l *loadBatch[K, V]) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left == 0
}

// waive lets a batch begin without a permit, for a reader within a load: a load that has a permit never waits for another.
func (l *loadBatch[K, V]) waive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiving {
		l.waiving = true
		close(l.waived)
	}
}

// awaitTurn waits until the batch may begin. It returns false if it was given up.
func (l *loadBatch[K, V]) awaitTurn() bool {
	if l.turn == nil {
		return l.ctx.Err() == nil
	}
	select {
	case <-l.turn:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// awaitPermit waits for a permit, which is given back when the last call has ended. It returns false if the batch was
// given up.
func (l *loadBatch[K, V]) awaitPermit() bool {
	if l.permits == nil {
		return l.ctx.Err() == nil
	}
	select {
	case l.permits <- struct{}{}:
	case <-l.waived:
		return l.ctx.Err() == nil
	case <-l.ctx.Done():
		return false
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 { // it was ended meanwhile
		<-l.permits
		return false
	}
	l.release = func() { <-l.permits }
	return true
}

// ended counts a call that has ended.
func (l *loadBatch[K, V]) ended() {
	l.mu.Lock()
	var release func()
	l.left--
	last := l.left == 0
	if last {
		release, l.release = l.release, nil
	}
	l.mu.Unlock()

	if release != nil {
		release()
	}
	if last && l.claimed != nil {
		l.claimed()
	}
}

// cause replaces an error of the loader's by the reason why its context has ended, if it has.
func (l *loadBatch[K, V]) cause(err error) error {
	if err == nil || isAbsent(err) {
		return err
	}

	l.mu.Lock()
	reading := l.reading
	l.mu.Unlock()

	// The batch's context ends a moment before the loader's, which is made of it.
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if reading != nil && reading.Err() != nil {
		return context.Cause(reading)
	}
	return err
}

// loadMark is what a load's context says: that it is one, and within which others.
type loadMark struct {
	load  any
	outer *loadMark
}

type loadMarkKey struct{}

func outerLoad(ctx context.Context) *loadMark {
	m, _ := ctx.Value(loadMarkKey{}).(*loadMark)
	return m
}

// within reports whether a load is one of those around a context.
func (m *loadMark) within(load any) bool {
	for ; m != nil; m = m.outer {
		if m.load == load {
			return true
		}
	}
	return false
}
