package cache

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// maxCallsPerKey is how many calls of one key read at the same time: one whose value is known to be old already, for the
// readers who asked before that, and one for all others. Readers whom neither covers wait for the next.
const maxCallsPerKey = 2

// phase is how far a call is.
type phase uint8

const (
	phaseWaiting phase = iota // for its turn, the tier or a permit: nothing of the database has been read
	phaseReading
	phaseEnded
)

// call is the load of one key, which many readers can wait for.
type call[K comparable, V any] struct {
	batch *loadBatch[K, V]
	key   K
	name  string

	// Under the shard's lock; they do not change any more once the call reads. Epoch, place and began are from before it
	// reads, and in this order: a reset in between makes the epoch an old one.
	epoch    uint32
	place    place
	began    *loadStart
	recorded time.Time
	since    time.Time // when it began to read
	fresh    bool      // not from the tier, and from no standby at all
	primary  bool      // not from a standby
	trusted  bool      // a reader who waits for it could trust the cache

	// Under the shard's lock.
	phase    phase
	queued   bool // it is its key's next one
	detached bool // it may have read the old value: not stored, and not for new readers

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
		k.current.detached = true
	}
	k.current = f
	k.running = append(k.running, f)
}

// record notes that a key is about to be read, with its shard locked, in every state of the bus. It takes the epoch and
// the position that were read before, in this order. A call that has to wait for its turn is the key's next one.
func (c *Cache[K, V]) record(s *shard[K, V], f *call[K, V], next bool, now time.Time) {
	f.began, f.recorded, f.done = c.tags.begin(), now, make(chan struct{})

	k := s.loads.get(f.key)
	if k == nil {
		k = &keyCalls[K, V]{}
		s.loads.set(f.key, k)
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
		if f.phase == phaseWaiting {
			f.phase, f.epoch, f.place, f.since = phaseReading, epoch, at, time.Now()
			c.tags.end(f.began)
			f.began = c.tags.begin()
			if k := s.loads.get(f.key); k != nil && k.current == f {
				f.detached = false
			}
			if f.primary || !trusted {
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
	if f.phase == phaseEnded {
		s.mu.Unlock()
		return false
	}
	kept = c.store(s, f, &o, e, c.admit(f, &o, e))
	if o.tiered != nil && !kept {
		s.mu.Unlock()
		c.stats.tierRefused.Add(1)
		return false
	}
	f.phase = phaseEnded
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
	c.tags.end(f.began)
	close(f.done)
	l.ended()
	return kept
}

// unlist takes a call that has ended out of its key's, and lets the next one begin.
func (s *shard[K, V]) unlist(f *call[K, V]) {
	k := s.loads.get(f.key)
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
		s.loads.remove(f.key)
	}
}

// detach makes sure, with the shard locked, that what a key's calls may have read already is not stored, and that no new
// reader gets it. One that has not begun to read the database stays; a tier's value it may have read meanwhile is refused.
func (s *shard[K, V]) detach(key K) {
	k := s.loads.get(key)
	if k == nil || k.current == nil {
		return
	}
	k.current.detached = true
}
