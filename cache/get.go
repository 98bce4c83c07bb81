package cache

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// how is how a value is asked for.
type how uint8

const (
	normally how = iota
	freshly      // from a load that begins now
)

// Get answers the value of a key, from the cache or by loading it. A key that does not exist is an error that is
// ErrNotFound. Other errors are the loader's, *PanicError, ErrLoadTimeout, ErrBehind, ErrKey, ErrClosed, or that of ctx, at
// whose end the caller leaves; the load goes on if others wait for it.
//
// Values are shared unless the cache has a Clone: do not change them.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	// The order matters: what is looked up after the bus was asked has had all applied to it that made the bus fresh.
	now := elapsed.Now()
	trusted := c.trustAt(now)
	if trusted != trustNothing {
		s, at := c.shard(key), c.clock(now)
		epoch := c.epoch.Load()
		s.mu.Lock()
		if e, ok := s.values.Get(key); ok && e.live(epoch, at) {
			s.counts.hits++
			if trusted == trustServe {
				s.counts.staleHits++
			}
			s.mu.Unlock()
			return c.clone(e.value), nil
		}
		s.mu.Unlock()
	}
	return c.get(ctx, key, normally)
}

// GetFresh loads a value and never waits for a load that began before it: what it answers was in the database when
// GetFresh was called, or later. It never comes from a tier or a standby.
func (c *Cache[K, V]) GetFresh(ctx context.Context, key K) (V, error) {
	return c.get(ctx, key, freshly)
}

// GetAfter answers a value from after the transaction of a receipt, which may be another pod's. If its events have
// been applied here it is Get, otherwise GetFresh.
func (c *Cache[K, V]) GetAfter(ctx context.Context, key K, r bus.Receipt) (V, error) {
	if c.applied != nil && c.applied(r) || r.IsZero() {
		return c.Get(ctx, key)
	}
	return c.GetFresh(ctx, key)
}

// Peek answers what is held of a key, if it may be served. It loads nothing and does not count as a use.
func (c *Cache[K, V]) Peek(key K) (V, bool) {
	now := elapsed.Now()
	if c.trustAt(now) != trustNothing {
		s, at := c.shard(key), c.clock(now)
		epoch := c.epoch.Load()
		s.mu.Lock()
		e, ok := s.values.Peek(key)
		s.mu.Unlock()
		if ok && e.live(epoch, at) {
			return c.clone(e.value), true
		}
	}
	var none V
	return none, false
}

func (c *Cache[K, V]) clone(v V) V {
	if c.cfg.Clone == nil {
		return v
	}
	return c.cfg.Clone(v)
}

// found is what a lookup came to: an answer, or a flight to wait for.
type found[K comparable, V any] struct {
	val    V
	err    error
	hit    bool
	flight *flight[K, V]
	joined uint64 // the count of tags then
	load   *load[K, V]
}

// get is the long way: it looks again, and waits for a load.
func (c *Cache[K, V]) get(ctx context.Context, key K, h how) (V, error) {
	var none V
	name, err := c.names.name(key)
	if err != nil {
		return none, err
	}
	for attempt := 0; ; attempt++ {
		f, err := c.find(ctx, key, name, h, attempt > 1, nil)
		switch {
		case err != nil:
			return none, err
		case f.hit && f.err != nil:
			return none, f.err
		case f.hit:
			return c.clone(f.val), nil
		}
		if f.load != nil {
			c.begin(f.load)
		}
		v, err, again := c.await(ctx, f)
		switch {
		case again:
			continue
		case err == nil:
			return c.clone(v), nil
		case h == normally && ctx.Err() == nil && !errors.Is(err, ErrNotFound):
			if old, ok := c.instead(key); ok {
				return c.clone(old), nil
			}
		}
		return none, err
	}
}

// await waits for a flight; again: the answer is from before a tag was invalidated that this reader knew of.
func (c *Cache[K, V]) await(ctx context.Context, w found[K, V]) (v V, err error, again bool) {
	f := w.flight
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done:
		default:
			f.load.leave()
			return v, ctx.Err(), false
		}
	}
	f.load.leave()
	if f.late && w.joined > f.began.count {
		c.stats.startedOver.Add(1)
		return v, nil, true
	}
	return f.val, f.err, false
}

// find looks a key up, and joins or records a load if it is not there. Alone: it does not join. If there is a load that
// is being filled and the key can go with it, it does.
func (c *Cache[K, V]) find(
	ctx context.Context, key K, name string, h how, alone bool, filling *load[K, V],
) (w found[K, V], err error) {
	if c.closed.Load() {
		return w, ErrClosed
	}
	now := time.Now()
	trusted := c.look(now)
	at := c.position() // before the load is recorded
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch := c.epoch.Load()
	if h == normally && trusted != trustNothing && c.lookup(s, key, epoch, c.clock(elapsed.At(now)), trusted, &w) {
		return w, nil
	}
	if trusted == trustFresh {
		s.counts.misses++
	} else {
		s.counts.bypassed++
	}
	w.joined = c.tags.count.Load()
	if f := s.loads[key]; f != nil && h == normally && !alone && (f.epoch == epoch || c.weak.KeepLoadsOnReset) && c.covers(f, trusted, now) {
		if outerLoad(ctx).within(f.load) {
			return w, ErrCycle
		}
		if f.load.join() {
			s.counts.joined++
			w.flight = f
			return w, nil
		}
	}
	if w.load = filling; filling == nil || filling.trusted != (trusted == trustFresh) {
		w.load = c.newLoad(ctx, h, trusted == trustFresh)
	}
	w.flight = c.record(s, w.load, key, name, at)
	w.joined = w.flight.began.count
	return w, nil
}

// covers says whether a reader who trusts the cache this much may join a load. To one who does, a load that began while
// the bus was not fresh may bring what a standby has that is behind. To one who does not, nothing tells of what detaches
// a load: he takes only what was read from the primary, and not longer ago than he could have been served it from here.
func (c *Cache[K, V]) covers(f *flight[K, V], t trust, now time.Time) bool {
	if t == trustFresh {
		return f.load.trusted || f.load.fresh
	}
	return f.load.primary && elapsed.Between(f.since, now) < cmp.Or(c.staleAfter, bus.DefaultStaleAfter)
}

// lookup looks both kinds of entries up, with the shard locked. What has expired goes, unless it could still serve.
func (c *Cache[K, V]) lookup(s *shard[K, V], key K, epoch uint32, now int64, t trust, w *found[K, V]) bool {
	if e, ok := s.values.Get(key); ok {
		if e.live(epoch, now) {
			s.counts.hits++
			if t == trustServe {
				s.counts.staleHits++
			}
			w.val, w.hit = e.value, true
			return true
		}
		if c.cfg.StaleOnError == 0 || e.extra != nil && !e.extra.alive() {
			c.bury(s, key, e.epoch == epoch && e.expires <= now)
		}
	}
	if e, ok := s.absent.Get(key); ok {
		if e.live(epoch, now) {
			s.counts.negativeHits++
			if t == trustServe {
				s.counts.staleHits++
			}
			w.err, w.hit = e.extra.err, true
			return true
		}
		c.bury(s, key, e.epoch == epoch && e.expires <= now)
	}
	return false
}

// bury drops what does not count any more.
func (c *Cache[K, V]) bury(s *shard[K, V], key K, expired bool) {
	s.drop(key)
	if expired {
		s.counts.evictedExpired++
	} else {
		s.counts.evictedInvalidated++
	}
}

// look is trustAt for the long way, where there is time for more.
func (c *Cache[K, V]) look(now time.Time) trust {
	at := elapsed.At(now)
	t := c.trustAt(at)
	if c.cfg.StaleOnError > 0 {
		if age := c.source.FreshAge(hook.Token{}, at); age >= 0 {
			c.suspect.seen(now.Add(-age))
		}
	}
	if t != trustFresh && c.cfg.WhenStale.kind == policyClear {
		c.clearOnce()
	}
	return t
}

// instead is what is held of a key whose load failed, if it may be served for that.
func (c *Cache[K, V]) instead(key K) (v V, ok bool) {
	window := c.cfg.StaleOnError
	if window == 0 {
		return v, false
	}
	now := time.Now()
	s := c.shard(key)
	at := elapsed.At(now)
	age := c.source.FreshAge(hook.Token{}, at) // before the lookup
	epoch := c.epoch.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.values.Peek(key)
	if !ok || e.expires <= c.clock(at)-int64(window) || e.extra != nil && !e.extra.alive() {
		return v, false
	}
	if e.epoch != epoch {
		age = c.suspect.of(e.epoch, now)
	}
	if age < 0 || age >= c.staleAfter+window {
		return v, false
	}
	s.counts.staleHits++
	return e.value, true
}
