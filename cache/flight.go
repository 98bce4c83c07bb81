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
type load[K comparable, V any] struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	nested  bool // from within a loader
	fresh   bool // not from the tier, and from no standby at all
	primary bool // not from a standby
	trusted bool // the bus was fresh when it began
	flights []*flight[K, V]
	slots   chan struct{} // of a GetMany without batches; nil: none
	unlink  []func() bool // stop what waits for contexts

	mu      sync.Mutex
	waiters int
	left    int    // flights that have not ended
	over    bool   // nobody waits any more
	ended   func() // gives back what is held until the last flight ends; nil: nothing
}

// flight is the load of one key, which many readers can wait for.
type flight[K comparable, V any] struct {
	load  *load[K, V]
	key   K
	name  string
	epoch uint32
	place place // before it was recorded
	began *begin
	since time.Time

	// Under the shard's lock.
	detached bool // it may have read the old value: not stored, and not for new readers
	ended    bool

	done chan struct{} // closed at the end; what follows does not change any more then
	val  V
	err  error
	late bool // for those who joined after another count of tags than it began at: start over
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

// within says whether a load is one of those around a context.
func (m *loadMark) within(load any) bool {
	for ; m != nil; m = m.outer {
		if m.load == load {
			return true
		}
	}
	return false
}

// newLoad makes a load; nothing runs yet.
func (c *Cache[K, V]) newLoad(ctx context.Context, how how, trusted bool) *load[K, V] {
	outer := outerLoad(ctx)
	l := &load[K, V]{nested: outer != nil, fresh: how == freshly, primary: how == freshly || !trusted, trusted: trusted}
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

// record notes that a key is about to be read, with its shard locked, in every state of the bus. What was recorded before
// for this key is not for new readers any more, and is not stored.
func (c *Cache[K, V]) record(s *shard[K, V], l *load[K, V], key K, name string, at place) *flight[K, V] {
	f := &flight[K, V]{
		load: l, key: key, name: name, epoch: c.epoch.Load(), place: at, began: c.tags.begin(), since: time.Now(),
		done: make(chan struct{}),
	}
	if old := s.loads[key]; old != nil {
		old.detached = true
	}
	s.loads[key] = f
	c.names.index.add(name, key)
	l.mu.Lock() // readers may have joined what is recorded already
	defer l.mu.Unlock()
	l.flights = append(l.flights, f)
	l.waiters++
	l.left++
	return f
}

// join adds a reader to a load, unless nobody waits for it any more.
func (l *load[K, V]) join() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.waiters++
	return true
}

// leave takes a reader away. With the last one the load ends.
func (l *load[K, V]) leave() {
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

// begin starts a load whose flights are recorded.
func (c *Cache[K, V]) begin(l *load[K, V]) {
	c.working.add(1)
	l.unlink = []func() bool{
		context.AfterFunc(c.life, func() { l.cancel(ErrClosed) }),
		context.AfterFunc(l.ctx, func() { c.endAll(l) }),
	}
	go c.run(l)
}

// endAll ends what has not ended when a load's context does. A loader that never returns holds nobody.
func (c *Cache[K, V]) endAll(l *load[K, V]) {
	l.mu.Lock()
	left := l.left
	l.mu.Unlock()
	if left == 0 {
		return
	}
	for _, f := range l.flights {
		c.finish(f, outcome[V]{err: context.Cause(l.ctx)})
	}
}

// run reads, from the tier and from the loader, and ends the flights.
func (c *Cache[K, V]) run(l *load[K, V]) {
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
		return // its context has ended, and so have its flights
	}
	if len(l.flights) > 1 && c.batch != nil {
		c.runBatch(l, rest)
		return
	}
	for _, f := range rest {
		c.runOne(l, f)
	}
}

// runOne calls the loader for one key, and once more if a standby was behind.
func (c *Cache[K, V]) runOne(l *load[K, V], f *flight[K, V]) {
	ctx := l.ctx
	for {
		o := c.call(ctx, f.key)
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
func (c *Cache[K, V]) runBatch(l *load[K, V], flights []*flight[K, V]) {
	ctx := l.ctx
	for len(flights) > 0 {
		keys := make([]K, len(flights))
		for i, f := range flights {
			keys[i] = f.key
		}
		found, failed := c.callMany(ctx, keys)
		var again []*flight[K, V]
		for _, f := range flights {
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
		flights, ctx = again, wantPrimary(ctx)
	}
}

// outcome is what a load has come to.
type outcome[V any] struct {
	loaded Loaded[V]
	err    error
	tiered *envelope // it came from the tier
}

// absent says whether the key does not exist.
func (o *outcome[V]) absent() bool { return o.err != nil && errors.Is(o.err, ErrNotFound) }

func (c *Cache[K, V]) call(ctx context.Context, key K) (o outcome[V]) {
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

func (c *Cache[K, V]) callMany(ctx context.Context, keys []K) (found map[K]Loaded[V], o outcome[V]) {
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

// permit takes one of the permits that bound loads after a reset, and one of those of a GetMany without batches.
func (c *Cache[K, V]) permit(l *load[K, V]) bool {
	if l.slots != nil && !l.take(l.slots) {
		return false
	}
	if l.nested || !c.limiter.bounded(c.clock(elapsed.Now())) {
		return true
	}
	return l.take(c.limiter.permits)
}

// take waits for a permit, which is given back when the last flight has ended.
func (l *load[K, V]) take(permits chan struct{}) bool {
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

// finish ends a flight once, and says whether what it has read may be kept, here and elsewhere. What came from the tier
// and may not be kept does not end it.
func (c *Cache[K, V]) finish(f *flight[K, V], o outcome[V]) (kept bool) {
	l := f.load
	if o.err != nil && l.ctx.Err() != nil && !o.absent() {
		o.err = context.Cause(l.ctx)
	}
	e := c.entryOf(f, &o)
	s := c.shard(f.key)
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		return false
	}
	kept = c.settle(s, f, &o, e)
	if o.tiered != nil {
		if !kept {
			s.mu.Unlock()
			c.stats.tierRefused.Add(1)
			return false
		}
		c.stats.tierHits.Add(1)
	}
	f.ended = true
	f.val, f.err = o.loaded.Value, o.err
	if s.loads[f.key] == f {
		delete(s.loads, f.key)
	}
	c.names.index.remove(f.name, f.key)
	s.mu.Unlock()

	c.tags.end(f.began)
	close(f.done)
	l.mu.Lock()
	var ended func()
	if l.left--; l.left == 0 {
		ended, l.ended = l.ended, nil
	}
	l.mu.Unlock()
	if ended != nil {
		ended()
	}
	return kept
}
