package cache

import (
	"context"
	"time"
)

// flight is the load of one key, which many readers can wait for.
type call[K comparable, V any] struct {
	batch *loadBatch[K, V]
	key   K
	name  string
	epoch uint32
	place place // before it was recorded
	began *loadStart
	since time.Time

	// Under the shard's lock.
	detached bool // it may have read the old value: not stored, and not for new readers
	ended    bool

	done chan struct{} // closed at the end; what follows does not change any more then
	val  V
	err  error
	late bool // for those who joined after another count of tags than it began at: start over
}

// record notes that a key is about to be read, with its shard locked, in every state of the bus. What was recorded before
// for this key is not for new readers any more, and is not stored.
func (c *Cache[K, V]) record(s *shard[K, V], l *loadBatch[K, V], key K, name string, at place) *call[K, V] {
	f := &call[K, V]{
		batch: l, key: key, name: name, epoch: c.epoch.Load(), place: at, began: c.tags.begin(), since: time.Now(),
		done: make(chan struct{}),
	}
	if old := s.loads[key]; old != nil {
		old.detached = true
	}
	s.loads[key] = f
	c.names.index.add(name, key)
	l.mu.Lock() // readers may have joined what is recorded already
	defer l.mu.Unlock()
	l.calls = append(l.calls, f)
	l.waiters++
	l.left++
	return f
}

// finish ends a flight once, and says whether what it has read may be kept, here and elsewhere. What came from the tier
// and may not be kept does not end it.
func (c *Cache[K, V]) finish(f *call[K, V], o outcome[V]) (kept bool) {
	l := f.batch
	if o.err != nil && l.ctx.Err() != nil && !o.absent() {
		o.err = context.Cause(l.ctx)
	}
	e := c.candidateOf(f, &o)
	s := c.shard(f.key)
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		return false
	}
	kept = c.store(s, f, &o, e, c.admit(f, &o, e))
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
	if kept {
		c.trim(f.key)
	}

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
