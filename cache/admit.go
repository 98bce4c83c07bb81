package cache

import "github.com/pgcoherence/pgcoherence/internal/fill"

// admission is the decision about an outcome: admit makes it, and store carries it out. The shard stays locked from the
// one to the other.
type admission struct {
	fill.Admission
	store bool
}

// admit decides what becomes of an outcome. It reads the history and the tags and writes nothing. The shard is locked.
func (c *Cache[K, V]) admit(f *call[K, V], o *outcome[V], e candidate) (d admission) {
	if o.err != nil && !e.absent {
		return d
	}

	d.Admission = c.judge.Admit(&f.Load, c.valueOf(f, o))
	if e.badTag && d.Refused == "" {
		d.Refused = refusedTag
	}

	d.store = d.Refused == "" && e.ttl > 0 && !c.closed.Load()
	if c.cfg.WhenStale.kind == policyClear {
		d.store = d.store && f.batch.storable
	}
	return d
}

// valueOf returns what matters of an outcome to the decision about it.
func (c *Cache[K, V]) valueOf(f *call[K, V], o *outcome[V]) *fill.Value {
	v := &fill.Value{Name: f.name, Tags: o.loaded.Tags, Wire: tagNames(o.loaded.Tags), From: o.loaded.Snapshot.view()}
	if e := o.tiered; e != nil {
		v.Tier = &fill.Label{Epoch: e.epoch, At: e.at, Extras: e.extras}
	}
	return v
}

// behind reports whether a value is known to be old, so that loading from the primary would help.
func (c *Cache[K, V]) behind(f *call[K, V], o *outcome[V]) bool {
	if o.err != nil && !o.absent() {
		return false
	}
	return c.judge.Behind(&f.Load, c.valueOf(f, o))
}
