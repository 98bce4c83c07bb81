package cache

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// maxCallsPerKey is how many calls of one key read at the same time: one whose value is known to be old already, for the
// readers who asked before that, and one for all others. Readers whom neither covers wait for the next.
const maxCallsPerKey = 2

// The phases of a call.
const (
	phaseWaiting = fill.Waiting // for its turn, the tier or a permit: nothing of the database has been read
	phaseReading = fill.Reading
	phaseEnded   = fill.Ended
)

// call is the load of one key, which many readers can wait for.
type call[K comparable, V any] struct {
	fill.Load // under the shard's lock

	batch *loadBatch[K, V]
	key   K
	name  string

	// Under the shard's lock.
	recorded time.Time
	since    time.Time // when it began to read
	queued   bool      // it is its key's next one

	done chan struct{} // closed at the end; what follows does not change any more then
	val  V
	err  error
	late bool // for readers who asked after another count of tags than it began at: start over
}

// keyCalls are the calls of one key, under its shard's lock.
type keyCalls[K comparable, V any] struct {
	current *call[K, V]   // the newest that reads or is about to; nil: it has ended
	next    *call[K, V]   // begins when one that reads has ended
	running []*call[K, V] // current, and detached ones before it, that have not ended
}

// isEmpty reports whether nothing is left.
func (k *keyCalls[K, V]) isEmpty() bool {
	return k.current == nil && k.next == nil && len(k.running) == 0
}

// isFull reports whether another call has to wait until one that runs has ended. A reader within one of these would wait for
// itself, so it does not.
func (k *keyCalls[K, V]) isFull(outer *loadMark) bool {
	if k == nil || len(k.running) < maxCallsPerKey {
		return false
	}
	return !slices.ContainsFunc(k.running, func(f *call[K, V]) bool { return outer.within(f.batch) })
}

// promote makes next the current call.
func (k *keyCalls[K, V]) promote() {
	f := k.next
	k.next, f.queued = nil, false
	k.replace(f)
	close(f.batch.turn)
}

// replace makes a call the current one. The one before is not for new readers any more, and is not stored.
func (k *keyCalls[K, V]) replace(f *call[K, V]) {
	if k.current != nil {
		k.current.Detached = true
	}
	k.current = f
	k.running = append(k.running, f)
}

// record notes that a key is about to be read, with its shard locked, in every state of the bus. It takes the epoch and
// the position that were read before, in this order. A call that has to wait for its turn is the key's next one.
func (c *Cache[K, V]) record(s *shard[K, V], f *call[K, V], next bool, now time.Time) {
	f.Began, f.recorded, f.done = c.tags.Begin(), now, make(chan struct{})

	k := s.loads.Get(f.key)
	if k == nil {
		k = &keyCalls[K, V]{}
		s.loads.Set(f.key, k)
	}
	if next {
		f.batch.turn = make(chan struct{})
		k.next, f.queued = f, true
	} else {
		k.replace(f)
	}
	c.names.index.add(f.name, f.key)

	l := f.batch
	l.mu.Lock() // readers may have joined what is recorded already
	defer l.mu.Unlock()
	l.calls = append(l.calls, f)
	l.left++
}

// startReading notes, right before the loader is called, that the calls of a batch read from now on. What came before does not
// count against them any more. It returns those that have not ended.
func (c *Cache[K, V]) startReading(l *loadBatch[K, V]) (calls []*call[K, V]) {
	epoch, at := c.readPosition()
	trusted := c.trustAt(elapsed.Now()) == trustFresh

	for _, f := range l.calls {
		s := c.shard(f.key)
		s.mu.Lock()
		if f.Phase == phaseWaiting {
			k := s.loads.Get(f.key)
			f.StartReading(epoch, at, c.tags, k != nil && k.current == f)
			f.since = time.Now()
			if f.Primary || !trusted {
				l.primary.Store(true)
			}
			calls = append(calls, f)
		}
		s.mu.Unlock()
	}

	l.storable = trusted
	return calls
}

// finish ends a call once, and reports whether what it has read may be kept, here and elsewhere. What came from the tier
// and may not be kept does not end it.
func (c *Cache[K, V]) finish(f *call[K, V], o outcome[V]) (kept bool) {
	l := f.batch
	o.err = l.cause(o.err)
	e := c.candidateOf(f, &o)

	s := c.shard(f.key)
	s.mu.Lock()
	if f.Phase == phaseEnded {
		s.mu.Unlock()
		return false
	}
	kept = c.store(s, f, &o, e, c.admit(f, &o, e))
	if o.tiered != nil && !kept {
		s.mu.Unlock()
		c.stats.tierRefused.Add(1)
		return false
	}
	f.Phase = phaseEnded
	f.val, f.err = o.loaded.Value, o.err
	s.unlist(f)
	s.mu.Unlock()
	if kept {
		c.trim(f.key)
	}

	if o.tiered != nil {
		c.stats.tierHits.Add(1)
	}
	c.noteResult(f, o.err)
	c.names.index.remove(f.key)
	c.tags.End(f.Began)
	close(f.done)
	l.ended()
	return kept
}

// unlist takes a call that has ended out of its key's, and lets the next one begin.
func (s *shard[K, V]) unlist(f *call[K, V]) {
	k := s.loads.Get(f.key)
	switch {
	case k.next == f:
		k.next = nil
	case !f.queued:
		k.running = slices.DeleteFunc(k.running, func(other *call[K, V]) bool { return other == f })
	}
	if k.current == f {
		k.current = nil
	}

	if k.next != nil && len(k.running) < maxCallsPerKey {
		k.promote()
	}
	if k.isEmpty() {
		s.loads.Remove(f.key)
	}
}

// detach makes sure, with the shard locked, that what a key's calls may have read already is not stored, and that no new
// reader gets it. One that has not begun to read the database stays; a tier's value it may have read meanwhile is refused.
func (s *shard[K, V]) detach(key K) {
	k := s.loads.Get(key)
	if k == nil || k.current == nil {
		return
	}
	k.current.Detached = true
}
