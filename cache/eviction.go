package cache

import "github.com/hashicorp/golang-lru/v2/simplelru"

// Eviction is the strategy that chooses which entry a full cache evicts. The zero value is EvictAdaptive.
type Eviction uint8

const (
	// EvictAdaptive keeps entries that are read again. A hit only marks its entry, so readers of one key do not block
	// each other. New entries are in a small queue first. Those that are not read again while they are there are
	// evicted, so a scan does not displace entries in use. The size of the queue adapts to the hits that a different
	// size would have brought.
	EvictAdaptive Eviction = iota
	// EvictLRU evicts the least recently used entry. Every hit locks a shard for a moment.
	EvictLRU
)

// String returns the name of the strategy.
func (e Eviction) String() string {
	if e == EvictLRU {
		return "lru"
	}
	return "adaptive"
}

// What the adaptive eviction goes by; found by comparing hit ratios on a dozen traces (internal/lab/bench ratio).
const (
	maxMarks      = 2   // hits that an entry is credited with
	firstShare    = 20  // the queue for new entries begins with one part in so many
	leastShare    = 100 // it has at least one part in so many
	mostShare     = 80  // and at most so many parts of a hundred
	marginShare   = 20  // an eviction counts as nearly avoided for one part in so many of further evictions
	stepShare     = 1000
	admitAttempts = 3  // marked entries that an entry that came back may displace one of
	scanAttempts  = 64 // marked entries that are passed over to find one to evict
)

type entryList[K comparable, V any] = simplelru.LRU[*entry[K, V], struct{}]

// queue is the order in which a shard's values are evicted. It is guarded by the shard's lock.
//
// The adaptive one is made of two of golang-lru's lists in which a hit moves nothing. New entries enter probation. The
// oldest there moves on to the main list if it was hit, and is evicted otherwise; its key's hash is remembered, and if it is
// missed soon, it enters the main list at once, provided one of the entries that are next there was not hit. The
// oldest of the main list is evicted if it was not hit since it was last looked at, and begins again at the other end
// otherwise. It follows S3-FIFO (Yang et al., SOSP 2023), in which hits are marks as well; that probation adapts, and that
// the main list can refuse, is what loops and recency need.
//
// With EvictLRU there is only the main list, and a hit moves its entry to the front.
type queue[K comparable, V any] struct {
	size      int
	lru       bool
	probation *entryList[K, V]
	main      *entryList[K, V]

	target                 int // of the length of probation
	leastTarget            int
	mostTarget             int
	step, margin           int
	fromProbation, outMain ghosts

	hash  func(K) uint64
	dead  func(*entry[K, V]) bool
	evict func(*entry[K, V]) // takes the entry out of the shard; it has left the lists
}

func newQueue[K comparable, V any](size int, how Eviction) (*queue[K, V], error) {
	q := &queue[K, V]{
		size: size, lru: how == EvictLRU,
		target: max(size/firstShare, 1), leastTarget: max(size/leastShare, 1), mostTarget: max(size*mostShare/100, 1),
		step: max(size/stepShare, 1), margin: size / marginShare,
		fromProbation: newGhosts(size + size/4), outMain: newGhosts(size/marginShare + 1),
	}
	var err error
	if q.main, err = simplelru.NewLRU[*entry[K, V], struct{}](size+1, nil); err != nil {
		return nil, err
	}
	q.probation, err = simplelru.NewLRU[*entry[K, V], struct{}](size+1, nil)
	return q, err
}

func (q *queue[K, V]) len() int { return q.probation.Len() + q.main.Len() }

// touch notes a hit, for EvictLRU.
func (q *queue[K, V]) touch(e *entry[K, V]) { q.main.Get(e) }

// add makes room for an entry and takes it in.
func (q *queue[K, V]) add(e *entry[K, V]) {
	if q.lru {
		for q.len() >= q.size {
			q.evictOne(nil)
		}
		q.main.Add(e, struct{}{})
		return
	}

	list := q.probation
	if q.cameBack(q.hash(e.key)) && q.admit() {
		list = q.main
	}
	for q.len() >= q.size {
		q.evictOne(nil)
	}
	list.Add(e, struct{}{})
}

// cameBack reports whether a key was evicted from probation not long ago, and adapts: what was evicted there just now would
// have been hit if there were more room, and what was evicted from the main list just now, if there were less.
func (q *queue[K, V]) cameBack(hash uint64) bool {
	age, back := q.fromProbation.take(hash)
	if back && age <= q.margin {
		q.target = min(q.target+q.step, q.mostTarget)
	}
	if _, ok := q.outMain.take(hash); ok {
		q.target = max(q.target-q.step, q.leastTarget)
	}
	return back
}

// admit makes room in the main list, and reports whether there is some: not if all of the next entries were hit.
func (q *queue[K, V]) admit() bool {
	if q.len() < q.size || q.main.Len() < q.size-q.target {
		return true
	}
	for range admitAttempts {
		if q.advanceMain() {
			return true
		}
	}
	return false
}

// evictOne evicts an entry other than keep, and reports whether there was one.
func (q *queue[K, V]) evictOne(keep *entry[K, V]) bool {
	for !q.lru && (q.probation.Len() >= q.target || q.main.Len() == 0) {
		oldest, _, ok := q.probation.GetOldest()
		if !ok || oldest == keep {
			break
		}
		if q.advanceProbation(oldest) {
			return true
		}
	}

	for range scanAttempts {
		if oldest, _, ok := q.main.GetOldest(); !ok || oldest == keep {
			break
		}
		if q.advanceMain() {
			return true
		}
	}
	// All that was looked at was hit, or is to be kept: the oldest other one goes.
	for _, list := range [...]*entryList[K, V]{q.main, q.probation} {
		if keep != nil {
			list.Get(keep) // if it is there, it is the newest now
		}
		if oldest, _, ok := list.GetOldest(); ok && oldest != keep {
			list.Remove(oldest)
			q.evict(oldest)
			return true
		}
	}
	return false
}

// advanceProbation looks at the oldest entry of probation, and reports whether one was evicted for it.
func (q *queue[K, V]) advanceProbation(oldest *entry[K, V]) bool {
	q.probation.Remove(oldest)
	if oldest.marked() == 0 || q.dead(oldest) {
		if !q.dead(oldest) {
			q.fromProbation.add(q.hash(oldest.key), 0)
		}
		q.evict(oldest)
		return true
	}
	oldest.unmarkAll()
	q.main.Add(oldest, struct{}{})
	return false
}

// advanceMain looks at the oldest entry of the main list, and reports whether it was evicted.
func (q *queue[K, V]) advanceMain() bool {
	oldest, _, ok := q.main.GetOldest()
	if !ok {
		return true
	}

	if oldest.marked() > 0 && !q.lru && !q.dead(oldest) {
		oldest.unmark()
		q.main.Get(oldest)
		return false
	}

	q.main.Remove(oldest)
	if !q.lru && !q.dead(oldest) {
		q.outMain.add(q.hash(oldest.key), 0)
	}
	q.evict(oldest)
	return true
}

// remove takes an entry out that is no longer valid. If its key was in use, the next entry of it begins in the main list.
func (q *queue[K, V]) remove(e *entry[K, V]) {
	inMain := q.main.Remove(e)
	if !inMain {
		q.probation.Remove(e)
	}
	if !q.lru && (inMain || e.marked() > 0) {
		q.fromProbation.add(q.hash(e.key), q.margin+1)
	}
}
