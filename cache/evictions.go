package cache

import "sync"

// EvictReason says why an entry was removed.
type EvictReason uint8

// The reasons.
const (
	// EvictedForRoom means that Size, NegativeSize or MaxCost was reached.
	EvictedForRoom EvictReason = iota
	// EvictedExpired means that the TTL has ended.
	EvictedExpired
	// EvictedInvalidated means that an event named the key; or its tag or all keys, and a reader or a newer entry
	// found it later.
	EvictedInvalidated
	// EvictedReplaced means that a newer value of the key was stored.
	EvictedReplaced
	// EvictedCleared means that the policy Clear, or Close, dropped all entries.
	EvictedCleared
)

// String returns the reason's name.
func (r EvictReason) String() string {
	return [...]string{"room", "expired", "invalidated", "replaced", "cleared"}[min(r, EvictedCleared)]
}

// maxEvictions is how many entries wait for OnEvict at most.
const maxEvictions = 65_536

// evictions are the entries that wait for OnEvict. A goroutine works them off while there are any: the callback may take
// its time, and what evicts holds a lock.
type evictions[K comparable, V any] struct {
	call    func(K, V, EvictReason) // nil: there is none
	start   func(work func())
	dropped func()

	mu    sync.Mutex
	queue []evictedEntry[K, V]
	busy  bool
}

type evictedEntry[K comparable, V any] struct {
	entry *entry[K, V]
	why   EvictReason
}

// add has the callback called for an entry, soon. A shard may be locked.
func (x *evictions[K, V]) add(e *entry[K, V], why EvictReason) {
	if x.call == nil || e.absent() {
		return
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.queue) >= maxEvictions {
		x.dropped()
		return
	}

	x.queue = append(x.queue, evictedEntry[K, V]{e, why})
	if !x.busy {
		x.busy = true
		x.start(x.work)
	}
}

func (x *evictions[K, V]) work() {
	finished := false
	defer func() {
		if finished {
			return
		}
		x.mu.Lock() // the callback has ended the goroutine
		defer x.mu.Unlock()
		if x.busy = len(x.queue) > 0; x.busy {
			x.start(x.work)
		}
	}()

	for {
		x.mu.Lock()
		if len(x.queue) == 0 {
			x.queue, x.busy, finished = nil, false, true
			x.mu.Unlock()
			return
		}

		e := x.queue[0]
		x.queue[0] = evictedEntry[K, V]{}
		x.queue = x.queue[1:]
		x.mu.Unlock()
		x.call(e.entry.key, e.entry.value, e.why)
	}
}
