package cache

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// candidate is what would be stored of an outcome, computed before the shard is locked.
type candidate struct {
	ttl    time.Duration // zero: nothing
	now    int64
	cost   int64
	absent bool // the key does not exist
	badTag bool // no event can name one of the tags
}

// candidateOf computes what would be stored.
func (c *Cache[K, V]) candidateOf(f *call[K, V], o *outcome[V]) candidate {
	e := candidate{now: c.clock(elapsed.Now()), absent: o.absent()}
	switch {
	case o.err != nil && !e.absent, o.loaded.TTL < 0, e.absent && c.cfg.NoNegative:
		return e
	case e.absent:
		e.ttl = c.cfg.NegativeTTL
	default:
		e.ttl = c.cfg.TTL
		if c.cfg.MaxCost > 0 {
			err := c.callback("Cost", func() { e.cost = max(c.cfg.Cost(f.key, o.loaded.Value), 0) })
			if err != nil {
				e.ttl = 0 // readers get the value, and it is not stored
				return e
			}
		}
	}

	if e.badTag = slices.ContainsFunc(o.loaded.Tags, isBadTag); e.badTag {
		c.noteBadTag()
	}

	if o.loaded.TTL > 0 {
		e.ttl = o.loaded.TTL
	}
	if c.cfg.Jitter > 0 && e.ttl != Forever && o.tiered == nil {
		e.ttl -= time.Duration(rand.Float64() * c.cfg.Jitter * float64(e.ttl)) //nolint:gosec // spreads load, keeps no secret
	}
	return e
}

// isBadTag reports whether no event can name a tag.
func isBadTag(tag string) bool {
	return len(tag)+len(tagPrefix) > MaxKeyLen || validateText("tag", tag) != nil
}

// noteBadTag logs, once, that values are not stored because of their tags.
func (c *Cache[K, V]) noteBadTag() {
	c.logOnce(slog.LevelError, "cache: a value has a tag that no event can name, and is not stored: it is too long, "+
		"contains NUL, or is not valid UTF-8", "")
}

// expiry returns when it expires on the cache's clock.
func (e candidate) expiry() int64 {
	if e.ttl >= Forever-time.Duration(e.now) {
		return int64(Forever)
	}
	return e.now + int64(e.ttl)
}

// store carries out a decision, with the shard still locked, and reports whether the outcome may be kept, here and in the
// tier.
func (c *Cache[K, V]) store(s *shard[K, V], f *call[K, V], o *outcome[V], e candidate, d admission) (kept bool) {
	if f.late = d.Late; d.Behind {
		o.loaded, o.err = Loaded[V]{}, ErrBehind
	}
	if d.Refused != "" {
		c.stats.refused(d.Refused)
	}
	if !d.store {
		return false
	}

	// The tags are not guarded by the shard's lock: one may have been invalidated since the decision.
	marks, ok := c.judge.Acquire(&f.Load, &fill.Value{Tags: o.loaded.Tags})
	if !ok {
		f.late = true
		c.stats.refused(refusedInvalidated)
		return false
	}

	if c.cfg.WhenStale.kind == policyClear {
		c.dirty.Store(true)
	}
	var x *extra
	brief := int64(e.ttl) < 2*c.refreshAhead
	if len(marks) > 0 || e.cost > 0 || o.err != nil || brief {
		x = &extra{marks: marks, cost: e.cost, err: o.err, brief: brief}
	}
	stored := &entry[K, V]{key: f.key, value: o.loaded.Value, expires: e.expiry(), extra: x, epoch: c.judge.StoredIn(&f.Load)}
	stored.storedAt(e.now)
	return c.put(s, stored, e.now) || c.tier != nil
}
