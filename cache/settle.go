package cache

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// stored is what would be stored of an outcome, worked out before the shard is locked.
type stored struct {
	ttl  time.Duration // zero: nothing
	now  int64
	cost int64
}

// entryOf works out what would be stored.
func (c *Cache[K, V]) entryOf(f *flight[K, V], o *outcome[V]) stored {
	e := stored{now: c.clock(elapsed.Now())}
	switch absent := o.absent(); {
	case o.err != nil && !absent, o.loaded.TTL < 0, absent && c.cfg.NoNegative:
		return e
	case absent:
		e.ttl = c.cfg.NegativeTTL
	default:
		e.ttl = c.cfg.TTL
		if c.cfg.MaxCost > 0 {
			e.cost = max(c.cfg.Cost(f.key, o.loaded.Value), 0)
		}
	}
	if o.loaded.TTL > 0 {
		e.ttl = o.loaded.TTL
	}
	if c.cfg.Jitter > 0 && e.ttl != Forever && o.tiered == nil {
		e.ttl -= time.Duration(rand.Float64() * c.cfg.Jitter * float64(e.ttl)) //nolint:gosec // spreads load, keeps no secret
	}
	return e
}

// expiry is when it expires on the cache's clock.
func (e stored) expiry() int64 {
	if e.ttl >= Forever-time.Duration(e.now) {
		return int64(Forever)
	}
	return e.now + int64(e.ttl)
}

// settle decides what becomes of an outcome, with the shard locked, and stores it if it may be kept.
func (c *Cache[K, V]) settle(s *shard[K, V], f *flight[K, V], o *outcome[V], e stored) (kept bool) {
	f.late = false
	if o.err != nil && !o.absent() {
		return false
	}
	tags, began := o.loaded.Tags, f.began
	if c.weak != (hook.CacheGuards{}) {
		began = c.weakened(f)
	}
	refused := c.refusal(f, o)
	store := refused == "" && e.ttl > 0 && !c.closed.Load()
	if c.cfg.WhenStale.kind == policyClear {
		if store = store && f.load.trusted; store {
			c.dirty.Store(true)
		}
	}
	var marks []*tagMark
	marks, f.late = c.tags.settle(began, tags, store)
	if f.late && refused == "" {
		refused = refusedInvalidated
	}
	if refused != "" {
		c.stats.refused(refused)
		return false
	}
	if !store {
		return false
	}
	var x *extra
	if len(marks) > 0 || e.cost > 0 || o.err != nil {
		x = &extra{marks: marks, cost: e.cost, err: o.err}
	}
	if o.err != nil {
		c.putAbsent(s, f.key, entry[struct{}]{expires: e.expiry(), epoch: f.epoch, extra: x})
		return true
	}
	return c.put(s, f.key, entry[V]{value: o.loaded.Value, expires: e.expiry(), epoch: f.epoch, extra: x}) || c.tier != nil
}

// refusal is why an outcome may not be kept, empty if it may, but for its tags. A value that is known to be old becomes
// an error for those who could trust the cache when they asked.
func (c *Cache[K, V]) refusal(f *flight[K, V], o *outcome[V]) refusal {
	switch missed := c.missed(f, o); {
	case missed == missedSnapshot:
		if l := f.load; o.tiered == nil && (l.trusted || l.fresh) && !c.covered(f, o) {
			o.loaded, o.err = Loaded[V]{}, ErrBehind
		}
		return refusedSnapshot
	case f.detached:
		return refusedInvalidated
	case f.epoch != c.epoch.Load():
		return refusedEpoch
	case missed == missedUncertain:
		return refusedUncertain
	case c.source != nil && !c.position().ok:
		return refusedPosition
	}
	return ""
}

// missed asks the history about an outcome.
func (c *Cache[K, V]) missed(f *flight[K, V], o *outcome[V]) missed {
	if e := o.tiered; e != nil {
		if !f.place.ok || e.epoch != f.place.epoch && !c.weak.AnyEpoch {
			return missedSnapshot
		}
		if c.weak.AnySnapshot {
			return missedNothing
		}
		return c.history.judge(f.name, e.tags, sight{at: e.at, extras: e.extras})
	}
	from := o.loaded.Snapshot
	if from.standby && f.load.fresh {
		return missedSnapshot
	}
	return c.history.judge(f.name, o.loaded.Tags, sight{
		none: from.IsZero(), at: from.reliable(), standby: from.standby,
		covered: c.covered(f, o),
	})
}

// covered says whether a value's snapshot is of the primary and no older than this pod's position when the load began. What
// it does not see of what is known now has come meanwhile, and those who asked before may have the value.
func (c *Cache[K, V]) covered(f *flight[K, V], o *outcome[V]) bool {
	from := o.loaded.Snapshot
	return !from.IsZero() && !from.standby && f.place.ok && from.at.Stamp().AtLeast(f.place.at.Stamp())
}

// behind says whether a value is known to be old, so that asking the primary would help.
func (c *Cache[K, V]) behind(f *flight[K, V], o *outcome[V]) bool {
	if o.loaded.Snapshot.IsZero() || o.err != nil && !o.absent() || c.covered(f, o) {
		return false
	}
	return c.missed(f, o) == missedSnapshot
}

// label is what a tier value says of when it was read: the snapshot, and what was known to have ended beside it.
func (c *Cache[K, V]) label(f *flight[K, V], o *outcome[V]) (at position.Snapshot, extras []uint64, ok bool) {
	if from := o.loaded.Snapshot; !from.IsZero() {
		return from.reliable(), nil, f.place.ok
	}
	begun := f.place.told
	if c.weak.LabelLate {
		begun.event = math.MaxUint64
	}
	extras, ok = c.history.extras(f.name, o.loaded.Tags, f.place.at, begun)
	return f.place.at, extras, ok && f.place.ok
}
