package cache

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// load is one call of the loader: for one key, or for those of a batch.
type loadBatch[K comparable, V any] struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	nested  bool // from within a loader
	fresh   bool // not from the tier, and from no standby at all
	primary bool // not from a standby
	trusted bool // the bus was fresh when it began
	calls   []*call[K, V]
	slots   chan struct{} // of a GetMany without batches; nil: none
	unlink  []func() bool // stop what waits for contexts

	mu      sync.Mutex
	waiters int
	left    int    // calls that have not ended
	over    bool   // nobody waits any more
	ended   func() // gives back what is held until the last flight ends; nil: nothing
}

// newLoad makes a load; nothing runs yet.
func (c *Cache[K, V]) newLoad(ctx context.Context, mode readMode, trusted bool) *loadBatch[K, V] {
	outer := outerLoad(ctx)
	l := &loadBatch[K, V]{nested: outer != nil, fresh: mode == readFresh, primary: mode == readFresh || !trusted, trusted: trusted}
	ctx = context.WithValue(context.WithoutCancel(ctx), loadMarkKey{}, &loadMark{load: l, outer: outer})
	if l.primary {
		ctx = wantPrimary(ctx)
	}
	if c.cfg.LoadTimeout != Forever {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
		l.ctx, l.cancel = context.WithCancelCause(ctx)
		cancel := l.cancel
		l.cancel = func(cause error) { cancel(cause); stop() }
		return l
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l
}

// join adds a reader to a load, unless nobody waits for it any more.
func (l *loadBatch[K, V]) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.waiters++
	return true
}

// leave takes a reader away. With the last one the load ends.
func (l *loadBatch[K, V]) leave() {
	l.mu.Lock()
	l.waiters--
	last := l.waiters == 0
	l.over = l.over || last
	last = last && l.left > 0
	l.mu.Unlock()
	if last {
		l.cancel(errAbandoned)
	}
}

// begin starts a load whose calls are recorded.
func (c *Cache[K, V]) begin(l *loadBatch[K, V]) {
	c.working.add(1)
	l.unlink = []func() bool{
		context.AfterFunc(c.life, func() { l.cancel(ErrClosed) }),
		context.AfterFunc(l.ctx, func() { c.endAll(l) }),
	}
	go c.run(l)
}

// endAll ends what has not ended when a load's context does. A loader that never returns holds nobody.
func (c *Cache[K, V]) endAll(l *loadBatch[K, V]) {
	l.mu.Lock()
	left := l.left
	l.mu.Unlock()
	if left == 0 {
		return
	}
	for _, f := range l.calls {
		c.finish(f, outcome[V]{err: context.Cause(l.ctx)})
	}
}

// run reads, from the tier and from the loader, and ends the calls.
func (c *Cache[K, V]) run(l *loadBatch[K, V]) {
	defer func() { // the loader may have ended the goroutine
		for _, unlink := range l.unlink {
			unlink()
		}
		l.cancel(ErrLoaderExit)
		c.endAll(l)
		c.working.add(-1)
	}()
	rest := c.fromTier(l)
	if len(rest) == 0 {
		return
	}
	if !c.permit(l) {
		return // its context has ended, and so have its calls
	}
	if len(l.calls) > 1 && c.batch != nil {
		c.runBatch(l, rest)
		return
	}
	for _, f := range rest {
		c.runOne(l, f)
	}
}

// runOne calls the loader for one key, and once more if a standby was behind.
func (c *Cache[K, V]) runOne(l *loadBatch[K, V], f *call[K, V]) {
	ctx := l.ctx
	for {
		o := c.callLoader(ctx, f.key)
		if !WantPrimary(ctx) && c.behind(f, &o) {
			c.stats.refused(refusedSnapshot)
			ctx = wantPrimary(ctx)
			continue
		}
		if c.finish(f, o) {
			c.toTier(l, f, o)
		}
		return
	}
}

// runBatch calls the loader for many keys, and once more for those of which a standby was behind.
func (c *Cache[K, V]) runBatch(l *loadBatch[K, V], calls []*call[K, V]) {
	ctx := l.ctx
	for len(calls) > 0 {
		keys := make([]K, len(calls))
		for i, f := range calls {
			keys[i] = f.key
		}
		found, failed := c.callBatchLoader(ctx, keys)
		var again []*call[K, V]
		for _, f := range calls {
			o := failed
			if o.err == nil {
				if v, ok := found[f.key]; ok {
					o = outcome[V]{loaded: v}
				} else {
					o.err = ErrNotFound
				}
			}
			if !WantPrimary(ctx) && c.behind(f, &o) {
				c.stats.refused(refusedSnapshot)
				again = append(again, f)
				continue
			}
			if c.finish(f, o) {
				c.toTier(l, f, o)
			}
		}
		calls, ctx = again, wantPrimary(ctx)
	}
}

// permit takes one of the permits that bound loads after a reset, and one of those of a GetMany without batches.
func (c *Cache[K, V]) permit(l *loadBatch[K, V]) bool {
	if l.slots != nil && !l.take(l.slots) {
		return false
	}
	if l.nested || !c.limiter.bounded(c.clock(elapsed.Now())) {
		return true
	}
	return l.take(c.limiter.permits)
}

// take waits for a permit, which is given back when the last flight has ended.
func (l *loadBatch[K, V]) take(permits chan struct{}) bool {
	select {
	case permits <- struct{}{}:
	case <-l.ctx.Done():
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 { // it was ended meanwhile
		<-permits
		return false
	}
	before := l.ended
	l.ended = func() {
		<-permits
		if before != nil {
			before()
		}
	}
	return true
}

// outcome is what a load has come to.
type outcome[V any] struct {
	loaded Loaded[V]
	err    error
	tiered *envelope // it came from the tier
}

// absent says whether the key does not exist.
func (o *outcome[V]) absent() bool { return o.err != nil && errors.Is(o.err, ErrNotFound) }

func (c *Cache[K, V]) callLoader(ctx context.Context, key K) (o outcome[V]) {
	begun, done := time.Now(), false
	defer func() {
		if !done {
			o.err = panicked(recover())
		}
		c.countLoad(ctx, o.err, time.Since(begun))
	}()
	o.loaded, o.err = c.loader.Load(ctx, key)
	done = true
	return o
}

func (c *Cache[K, V]) callBatchLoader(ctx context.Context, keys []K) (found map[K]Loaded[V], o outcome[V]) {
	begun, done := time.Now(), false
	defer func() {
		if !done {
			o.err = panicked(recover())
		}
		c.countLoad(ctx, o.err, time.Since(begun))
	}()
	found, o.err = c.batch.LoadMany(ctx, keys)
	done = true
	return found, o
}

func panicked(v any) error {
	if v == nil {
		return ErrLoaderExit
	}
	return &PanicError{Value: v, Stack: debug.Stack()}
}
