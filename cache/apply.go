package cache

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache/internal/history"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// subscriber is what the bus sees of a cache. It is called under the bus' lock: it only takes the cache's own locks, each
// for a short time, and calls nobody.
type subscriber[K comparable, V any] struct{ c *Cache[K, V] }

var _ hook.Synchronous = (*subscriber[string, int])(nil)

// Synchronous implements hook.Synchronous.
func (*subscriber[K, V]) Synchronous(hook.Token) {}

// historian is the subscriber of a cache with a tier: it learns what the log still holds from before.
type historian[K comparable, V any] struct{ subscriber[K, V] }

var _ hook.Historian = (*historian[string, int])(nil)

// HistoryLimit implements hook.Historian.
func (h *historian[K, V]) HistoryLimit(hook.Token) int { return h.c.cfg.InvalidationHistory }

// History implements hook.Historian.
func (h *historian[K, V]) History(_ hook.Token, events []hook.Past, from position.Snapshot, floor uint64) {
	c := h.c
	defer c.guard()
	list := make([]history.Past, 0, len(events))
	for _, e := range events {
		p := history.Past{XID: e.XID, All: e.All}
		for _, wire := range e.Keys {
			p.Names = append(p.Names, c.names.names(wire)...)
		}
		list = append(list, p)
	}
	c.history.LoadFromLog(list, from, floor)
}

// Invalidate implements bus.Subscriber. In this order: first it is remembered what came, then loads are detached and
// entries dropped. A load that is stored in between is dropped; one that ends later finds itself detached, and one that
// begins later finds in the history what it has to see.
func (s *subscriber[K, V]) Invalidate(d bus.Delivery) {
	c := s.c
	defer c.guard()
	now := time.Now()
	e := history.Event{XIDs: d.XIDs, Uncertain: d.Uncertain, At: now}
	if !d.CommittedAt.IsZero() {
		c.metrics.lag.Observe(max(now.Sub(d.CommittedAt), 0).Seconds())
	}
	from := fromRemote
	if d.Local {
		from = fromLocal
	}
	if d.All {
		c.history.NoteAll(e)
		c.forgetAll(false)
		c.stats.invalidated(from, scopeAll, true)
		return
	}
	for _, wire := range d.Keys {
		known := false
		tag, isTag := c.names.find(wire, func(key K, name string) {
			known = true
			c.history.Note(name, e)
			hit := c.drop(key)
			c.stats.invalidated(from, scopeKey, hit)
			if d.Local {
				c.tier.forget(name)
			}
		})
		if isTag {
			c.history.Note(wire, e)
			c.stats.invalidated(from, scopeTag, c.tags.invalidate(tag))
		} else if !known {
			c.history.Note(c.names.canonical(wire), e)
			c.stats.invalidated(from, scopeKey, false)
			if d.Local {
				c.tier.forget(c.names.canonical(wire))
			}
		}
	}
}

// Reset implements bus.Subscriber.
func (s *subscriber[K, V]) Reset(r bus.Reason) {
	c := s.c
	c.history.Reset(time.Now())
	c.forgetAll(r == bus.ReasonEpoch)
	c.limiter.reset(c.clock(elapsed.Now()))
	c.stats.reset(r)
}

// drop forgets a key, here and in loads under way, and says whether something of it was held.
func (c *Cache[K, V]) drop(key K) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.loads[key]; f != nil && !c.weak.KeepLoads {
		f.detached = true
		delete(s.loads, key)
	}
	if !c.remove(s, key) {
		return false
	}
	s.counts.evictedInvalidated++
	return true
}

// forgetAll makes nothing count that is held or being loaded; what is held may be kept as suspects.
func (c *Cache[K, V]) forgetAll(suspects bool) {
	ended := c.epoch.Add(1) - 1
	c.suspect.reset(ended, suspects)
}

// clearOnce drops what is held, for the policy Clear, if anything was stored since the last time.
func (c *Cache[K, V]) clearOnce() {
	if c.dirty.Swap(false) {
		c.forgetAll(false)
		c.purge()
		c.stats.cleared.Add(1)
	}
}

// guard keeps a panic of the caller's ParseKey or KeyString from the bus: what was told then counts for all.
func (c *Cache[K, V]) guard() {
	v := recover()
	if v == nil {
		return
	}
	c.history.Reset(time.Now())
	c.forgetAll(false)
	c.stats.keyPanics.Add(1)
	// Not what it panicked with: that may be the key.
	c.cfg.Logger.Error("cache: ParseKey or KeyString panicked, all is dropped",
		slog.String("topic", c.topic), slog.String("type", fmt.Sprintf("%T", v)), slog.String("stack", string(debug.Stack())))
}
