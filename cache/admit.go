package cache

import (
	"github.com/pgcoherence/pgcoherence/cache/internal/history"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// admission is the decision about an outcome: admit makes it, and store carries it out. The shard stays locked from the
// one to the other.
type admission struct {
	store   bool
	refused refusal // why it is not stored; empty: nothing speaks against it
	behind  bool    // readers get ErrBehind instead of the value
	late    bool    // a tag was invalidated since the load began: readers who asked after that start over
}

// admit decides what becomes of an outcome. It reads the history and the tags and writes nothing. The shard is locked.
func (c *Cache[K, V]) admit(f *call[K, V], o *outcome[V], e candidate) (d admission) {
	if o.err != nil && !e.absent {
		return d
	}

	d.refused, d.behind = c.refusal(f, o)
	if d.late = c.tags.late(c.tagStart(f), o.loaded.Tags); d.late && d.refused == "" {
		d.refused = refusedInvalidated
	}

	if e.badTag && d.refused == "" {
		d.refused = refusedTag
	}

	d.store = d.refused == "" && e.ttl > 0 && !c.closed.Load()
	if c.cfg.WhenStale.kind == policyClear {
		d.store = d.store && f.batch.storable
	}
	return d
}

// refusal returns why an outcome may not be stored, apart from its tags, and whether it is known to be old although the
// reader could trust the cache, so that the reader must not have it either.
func (c *Cache[K, V]) refusal(f *call[K, V], o *outcome[V]) (why refusal, behind bool) {
	epoch := f.epoch
	if c.weak.KeepLoadsOnReset {
		epoch = c.epoch.Load()
	}

	switch conflict := c.conflict(f, o); {
	case conflict == history.Behind:
		return refusedSnapshot, o.tiered == nil && (f.trusted || f.fresh) && !c.covered(f, o)
	case f.detached:
		return refusedInvalidated, false
	case epoch != c.epoch.Load():
		return refusedEpoch, false
	case conflict == history.Uncertain:
		return refusedUncertain, false
	case c.source != nil && !c.position().ok:
		return refusedPosition, false
	}
	return "", false
}

// conflict returns what the history has against an outcome.
func (c *Cache[K, V]) conflict(f *call[K, V], o *outcome[V]) history.Conflict {
	if e := o.tiered; e != nil {
		if f.primary || !f.place.ok || e.epoch != f.place.epoch && !c.weak.AnyEpoch {
			return history.Behind
		}
		if c.weak.AnySnapshot {
			return history.NoConflict
		}
		return c.history.Check(f.name, tagNames(e.tags), history.View{At: e.at, Extras: e.extras})
	}

	from := o.loaded.Snapshot
	if from.standby && f.fresh {
		return history.Behind
	}
	return c.history.Check(f.name, tagNames(o.loaded.Tags), history.View{
		Unstated: from.IsZero(), At: from.reliable(), Standby: from.standby, Covered: c.covered(f, o),
	})
}

// covered reports whether a value's snapshot is of the primary and no older than this pod's position when the load began.
// What it does not see of what is known now has come since, and readers who asked before that may have the value.
func (c *Cache[K, V]) covered(f *call[K, V], o *outcome[V]) bool {
	from := o.loaded.Snapshot
	return !from.IsZero() && !from.standby && f.place.ok && from.at.Stamp().AtLeast(f.place.at.Stamp())
}

// behind reports whether a value is known to be old, so that loading from the primary would help.
func (c *Cache[K, V]) behind(f *call[K, V], o *outcome[V]) bool {
	if o.loaded.Snapshot.IsZero() || o.err != nil && !o.absent() || c.covered(f, o) {
		return false
	}
	return c.conflict(f, o) == history.Behind
}

// label returns what a tier value states about when it was read: the snapshot, and the transactions known to have ended
// beside it. It returns false if that is not known.
func (c *Cache[K, V]) label(f *call[K, V], o *outcome[V]) (at position.Snapshot, extras []uint64, ok bool) {
	if from := o.loaded.Snapshot; !from.IsZero() {
		return from.reliable(), nil, f.place.ok
	}

	begun := f.place.mark
	if c.weak.LabelLate {
		begun = begun.Late()
	}
	extras, ok = c.history.Extras(f.name, tagNames(o.loaded.Tags), f.place.at, begun)
	return f.place.at, extras, ok && f.place.ok
}

// tagStart returns when a call began for its tags.
func (c *Cache[K, V]) tagStart(f *call[K, V]) *loadStart {
	if c.weak.TagsForLater {
		return noLoadStart
	}
	return f.began
}
