package cache

import (
	"cmp"
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// lookup is what is looked for.
type lookup[K comparable, V any] struct {
	key     K
	name    string
	mode    readMode
	filling *loadBatch[K, V] // a batch being filled, into which the key can go; nil: none
	permits chan struct{}    // of the reader's own, if it is a load; nil: none
}

// lookupResult is what a lookup came to: an entry, a pause after a failed load, or a call to wait for.
type lookupResult[K comparable, V any] struct {
	hit bool
	val V
	err error // of a key that is known not to exist

	failed error // the last load has failed, and the next one is not due yet

	call  *call[K, V]
	batch *loadBatch[K, V] // to be launched, if the call was recorded just now
}

// find looks a key up, and joins or records a call if nothing is held.
func (c *Cache[K, V]) find(ctx context.Context, q lookup[K, V]) (w lookupResult[K, V], err error) {
	if c.closed.Load() {
		return w, ErrClosed
	}

	// The order matters. Freshness comes first: what is looked up after that has had all applied to it that made the bus
	// fresh. For the epoch and the position see readPosition.
	now := time.Now()
	trusted := c.look(now)
	epoch, at := c.readPosition()
	ended, outer := ctx.Err(), outerLoad(ctx) // a context may be anything, so it is asked before the shard is locked

	s := c.shard(q.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.mode == readCached && trusted != trustNothing && c.lookup(s, q.key, epoch, c.clock(elapsed.At(now)), trusted, &w) {
		return w, nil
	}
	if ended != nil {
		return w, ended // a context that has ended starts nothing
	}
	if trusted == trustFresh {
		s.counts.misses++
	} else {
		s.counts.bypassed++
	}

	// Wait for a call that is under way, or is about to begin.
	k := s.loads.Get(q.key)
	if k != nil {
		for _, f := range [...]*call[K, V]{k.current, k.next} {
			if f == nil || !c.canJoin(f, q.mode, trusted, epoch, now) {
				continue
			}
			if outer.within(f.batch) {
				return w, ErrCycle
			}
			if f.batch.join() {
				c.joined(k, f, q.mode, trusted, outer)
				s.counts.joined++
				w.call = f
				return w, nil
			}
		}
	}

	// Record a new one.
	if q.mode == readCached {
		if w.failed = c.failures.pausing(q.key, c.clock(elapsed.At(now))); w.failed != nil {
			return w, nil
		}
	}
	next := k.isFull(outer)
	if w.batch = q.filling; next || q.filling == nil || q.filling.trusted != (trusted == trustFresh) {
		w.batch = c.newBatch(ctx, outer, trusted == trustFresh)
		if q.permits != nil {
			w.batch.permits = q.permits
		}
	}
	w.call = &call[K, V]{
		Load: fill.Load{Epoch: epoch, Place: at}, batch: w.batch, key: q.key, name: q.name,
	}
	w.call.Join(q.mode == readFresh, trusted)
	w.batch.join()
	c.record(s, w.call, next, now)
	return w, nil
}

// canJoin reports whether a reader may wait for a call.
func (c *Cache[K, V]) canJoin(f *call[K, V], mode readMode, t trust, epoch uint32, now time.Time) bool {
	young := elapsed.Between(f.since, now) < cmp.Or(c.staleAfter, bus.DefaultStaleAfter)
	return c.judge.MayJoin(&f.Load, mode == readFresh, t, epoch, f.batch.primary.Load(), young)
}

// joined notes what a reader who waits for a call needs of it, if it has not begun to read. For a reader within a load the
// call needs no permit, because that load may have the last one. It begins at once if the calls before it wait for this
// reader.
func (c *Cache[K, V]) joined(k *keyCalls[K, V], f *call[K, V], mode readMode, t trust, outer *loadMark) {
	if f.Phase != phaseWaiting {
		return
	}
	f.Join(mode == readFresh, t)

	if outer == nil {
		return
	}
	if k.next == f && !k.isFull(outer) {
		k.promote()
	}
	f.batch.waive()
}

// lookup looks a key up, with the shard locked. An entry that has expired goes, unless it could still serve.
func (c *Cache[K, V]) lookup(s *shard[K, V], key K, epoch uint32, now int64, t trust, w *lookupResult[K, V]) bool {
	e := s.table.find(s.table.hash(key), key)
	if e == nil {
		return false
	}

	if e.live(epoch, now) {
		c.hits.count(e.absent(), t == trustServe)
		e.mark()
		if c.cfg.Eviction == EvictLRU {
			s.queueOf(e).touch(e)
		}
		if w.hit = true; e.absent() {
			w.err = e.extra.err
		} else {
			w.val = e.value
		}
		return true
	}

	if c.cfg.StaleOnError == 0 || e.absent() || e.extra != nil && !e.extra.alive() {
		if e.epoch == epoch && e.expires <= now {
			c.remove(s, key, EvictedExpired)
			s.counts.evictedExpired++
		} else {
			c.remove(s, key, EvictedInvalidated)
			s.counts.evictedInvalidated++
		}
	}
	return false
}

// look is trustAt for the long way, where there is time for more.
func (c *Cache[K, V]) look(now time.Time) trust {
	at := elapsed.At(now)
	t := c.trustAt(at)
	if c.cfg.StaleOnError > 0 {
		if age := c.source.FreshAge(at); age >= 0 {
			c.suspect.seen(now.Add(-age))
		}
	}
	if t != trustFresh && c.cfg.WhenStale.kind == policyClear {
		c.clearOnce()
	}
	return t
}

// staleFallback returns what is held of a key whose load failed, if it may be served for that.
func (c *Cache[K, V]) staleFallback(key K) (v V, ok bool) {
	window := c.cfg.StaleOnError
	if window == 0 {
		return v, false
	}

	now := time.Now()
	at := elapsed.At(now)
	age := c.source.FreshAge(at) // before the lookup

	epoch := c.epoch.Load()
	e := c.peek(key)
	if e == nil || e.absent() || e.expires <= c.clock(at)-int64(window) || e.extra != nil && !e.extra.alive() {
		return v, false
	}
	if e.epoch != epoch {
		age = c.suspect.of(e.epoch, now)
	}
	if age < 0 || age >= c.staleAfter+window {
		return v, false
	}

	c.hits.countStale()
	return e.value, true
}
