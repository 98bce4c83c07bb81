package cache

import (
	"log/slog"
	"reflect"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// subscriber is what the bus sees of a cache. It is called under the bus' lock: it only takes the cache's own locks, each
// for a short time, and calls none of the application's functions but those that turn texts into keys.
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
	list := make([]history.Past, 0, len(events))

	for _, e := range events {
		p := history.Past{XID: e.XID, All: e.All}
		targets, ok := c.targets(e.Keys)
		if !ok {
			return // all is dropped
		}
		for _, t := range targets {
			p.Names = append(p.Names, t.name)
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

	targets, ok := c.targets(d.Keys)
	if !ok {
		return // all is dropped
	}
	for _, t := range targets {
		c.history.Note(t.name, e)
		switch t.kind {
		case targetTag:
			c.stats.invalidated(from, scopeTag, c.tags.Invalidate(t.tag))
			continue
		case targetKey:
			c.stats.invalidated(from, scopeKey, c.drop(t.key))
		case targetForeign:
			c.noteForeign()
			c.stats.invalidated(from, scopeKey, false)
		case targetUnheld:
			c.stats.invalidated(from, scopeKey, false)
		}
		if d.Local {
			c.tier.forget(c.tierEpoch(c.position().Epoch), t.name)
		}
	}
}

// targets returns what an event's strings name. If a function of the application fails at that, all is dropped: whatever
// the event named is included.
func (c *Cache[K, V]) targets(wires []string) (list []target[K], ok bool) {
	collect := func() []target[K] {
		list := make([]target[K], 0, len(wires))
		for _, wire := range wires {
			list = c.names.targets(list, wire)
		}
		return list
	}
	if !c.names.custom {
		return collect(), true
	}

	// The bus' goroutine, on which this runs, must neither end nor block.
	var found []target[K]
	if err := c.callbackApart("ParseKey or KeyString", func() { found = collect() }); err != nil {
		c.history.Reset(time.Now())
		c.forgetAll(false)
		return nil, false
	}
	return found, true
}

// noteForeign counts a string of an event that no key of this cache can have. The first is logged: a writer spells keys of
// the topic in another form, and the keys that it meant are not invalidated.
func (c *Cache[K, V]) noteForeign() {
	c.stats.foreignKeys.Add(1)
	c.logOnce(slog.LevelError, "cache: an event names a key that no key of this cache can be; its writer, or a watched column, "+
		"spells keys differently", "", slog.String("key_type", reflect.TypeFor[K]().String()))
}

// Reset implements bus.Subscriber.
func (s *subscriber[K, V]) Reset(r bus.Reason) {
	c := s.c
	c.history.Reset(time.Now())
	c.forgetAll(r == bus.ReasonEpoch)
	c.failures.clear()
	c.stats.reset(r)
}

// drop forgets a key, here and in loads under way, and reports whether something of it was held.
func (c *Cache[K, V]) drop(key K) bool {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.judge.Guards.KeepLoads {
		s.detach(key)
	}
	c.failures.forget(key)
	if !c.remove(s, key, EvictedInvalidated) {
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
