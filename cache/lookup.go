package cache

import (
	"cmp"
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// found is what a lookup came to: an answer, or a flight to wait for.
type lookupResult[K comparable, V any] struct {
	val    V
	err    error
	hit    bool
	call   *call[K, V]
	joined uint64 // the count of tags then
	batch  *loadBatch[K, V]
}

// find looks a key up, and joins or records a load if it is not there. Alone: it does not join. If there is a load that
// is being filled and the key can go with it, it does.
func (c *Cache[K, V]) find(
	ctx context.Context, key K, name string, mode readMode, alone bool, filling *loadBatch[K, V],
) (w lookupResult[K, V], err error) {
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
	if mode == readCached && trusted != trustNothing && c.lookup(s, key, epoch, c.clock(elapsed.At(now)), trusted, &w) {
		return w, nil
	}
	if trusted == trustFresh {
		s.counts.misses++
	} else {
		s.counts.bypassed++
	}
	w.joined = c.tags.count.Load()
	if f := s.loads[key]; f != nil && mode == readCached && !alone && (f.epoch == epoch || c.weak.KeepLoadsOnReset) && c.covers(f, trusted, now) {
		if outerLoad(ctx).within(f.batch) {
			return w, ErrCycle
		}
		if f.batch.join() {
			s.counts.joined++
			w.call = f
			return w, nil
		}
	}
	if w.batch = filling; filling == nil || filling.trusted != (trusted == trustFresh) {
		w.batch = c.newLoad(ctx, mode, trusted == trustFresh)
	}
	w.call = c.record(s, w.batch, key, name, at)
	w.joined = w.call.began.count
	return w, nil
}

// covers says whether a reader who trusts the cache this much may join a load. To one who does, a load that began while
// the bus was not fresh may bring what a standby has that is behind. To one who does not, nothing tells of what detaches
// a load: he takes only what was read from the primary, and not longer ago than he could have been served it from here.
func (c *Cache[K, V]) covers(f *call[K, V], t trust, now time.Time) bool {
	if t == trustFresh {
		return f.batch.trusted || f.batch.fresh
	}
	return f.batch.primary && elapsed.Between(f.since, now) < cmp.Or(c.staleAfter, bus.DefaultStaleAfter)
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
		c.remove(s, key)
		if e.epoch == epoch && e.expires <= now {
			s.counts.evictedExpired++
		} else {
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
		if age := c.source.FreshAge(hook.Token{}, at); age >= 0 {
			c.suspect.seen(now.Add(-age))
		}
	}
	if t != trustFresh && c.cfg.WhenStale.kind == policyClear {
		c.clearOnce()
	}
	return t
}

// staleFallback is what is held of a key whose load failed, if it may be served for that.
func (c *Cache[K, V]) staleFallback(key K) (v V, ok bool) {
	window := c.cfg.StaleOnError
	if window == 0 {
		return v, false
	}
	now := time.Now()
	at := elapsed.At(now)
	age := c.source.FreshAge(hook.Token{}, at) // before the lookup
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
