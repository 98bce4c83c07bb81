package cache

import (
	"hash/maphash"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/shrinkmap"
)

// entry is what is stored of a key. There may be a million of them, so what few need is behind a pointer. But for its
// marks it does not change.
type entry[K comparable, V any] struct {
	key     K
	value   V
	expires int64 // on the cache's clock
	extra   *extra
	epoch   uint32 // valid only in the cache's
	// marks are the hits that the entry is credited with, in the lowest bits, and above them when it was stored, in
	// seconds on the cache's clock.
	marks atomic.Uint32
}

const (
	markBits = 2
	markMask = 1<<markBits - 1 // at least maxMarks
)

// extra is what few entries need.
type extra struct {
	marks []*fill.TagMark
	cost  int64
	err   error // of an absent key: what the loader said
	brief bool  // it lives too shortly to be refreshed ahead of its end
}

// alive reports whether none of the tags has been invalidated.
func (x *extra) alive() bool { return fill.Alive(x.marks) }

// absent reports whether the key is known not to exist.
func (e *entry[K, V]) absent() bool { return e.extra != nil && e.extra.err != nil }

// live reports whether an entry may be served to a reader who may trust the cache.
func (e *entry[K, V]) live(epoch uint32, now int64) bool {
	var marks []*fill.TagMark
	if e.extra != nil {
		marks = e.extra.marks
	}
	return fill.Servable(e.epoch, epoch, e.expires, now, marks)
}

// mark notes a hit. Of two at once one may be lost.
func (e *entry[K, V]) mark() {
	if n := e.marks.Load(); n&markMask < maxMarks {
		e.marks.CompareAndSwap(n, n+1)
	}
}

// marked returns the hits that the entry is credited with.
func (e *entry[K, V]) marked() uint32 { return e.marks.Load() & markMask }

// unmark takes one of the hits away. A hit at the same time counts instead.
func (e *entry[K, V]) unmark() {
	if n := e.marks.Load(); n&markMask > 0 {
		e.marks.CompareAndSwap(n, n-1)
	}
}

// unmarkAll takes all hits away.
func (e *entry[K, V]) unmarkAll() { e.marks.And(^uint32(markMask)) }

// storedAt sets when the entry was stored. It is called before others see the entry.
func (e *entry[K, V]) storedAt(now int64) {
	e.marks.Store(uint32(time.Duration(now)/time.Second) << markBits) //nolint:gosec // 34 years
}

// stored returns when the entry was stored, on the cache's clock.
func (e *entry[K, V]) stored() int64 { return int64(e.marks.Load()>>markBits) * int64(time.Second) }

// shard is a part of the cache with a lock of its own, which changes take and hits do not.
type shard[K comparable, V any] struct {
	table table[K, V]

	mu       sync.Mutex
	values   *queue[K, V]
	absent   *queue[K, V]
	loads    shrinkmap.Map[K, *keyCalls[K, V]]
	counts   counts
	current  held // what is from the newest epoch that this shard knows
	dropping bool // an eviction is not for want of room, but for this reason
	why      EvictReason
	epoch    uint32
	now      int64 // with epoch: what an eviction takes for expired

	_ [48]byte // a shard is whole cache lines
}

// held counts entries of one epoch, so that a reset needs no walk.
type held struct {
	epoch          uint32
	values, absent int
}

// of is what is held of an epoch.
func (h held) of(epoch uint32) held {
	if h.epoch != epoch {
		return held{epoch: epoch}
	}
	return h
}

// add counts an entry of the same epoch.
func (h *held) add(epoch uint32, absent bool, n int) {
	switch {
	case h.epoch != epoch:
	case absent:
		h.absent += n
	default:
		h.values += n
	}
}

// counts are of one shard, under its lock.
type counts struct {
	misses, joined, bypassed                            int64
	evictedCapacity, evictedExpired, evictedInvalidated int64
}

// leastPerShard is how many entries a shard has at least: the order in a small one is a poor one.
const leastPerShard = 1024

// maxShards is how many shards there are at most; a hash's low bits pick one.
const maxShards = 1024

// shardCount is a power of two: enough that writers on all processors seldom meet, few enough that each has room.
func shardCount(size int) int {
	n := 1 << bits.Len(uint(4*runtime.GOMAXPROCS(0)-1)) //nolint:gosec // positive
	for n > 1 && size/n < leastPerShard {
		n /= 2
	}
	return min(n, maxShards)
}

// newShards makes the shards.
func (c *Cache[K, V]) newShards() (err error) {
	n := shardCount(c.cfg.Size)
	c.shards = make([]shard[K, V], n)
	c.seed = maphash.MakeSeed()

	for i := range c.shards {
		s := &c.shards[i]
		s.table.init(c.seed)
		if s.values, err = c.newQueue(s, part(c.cfg.Size, n, i)); err != nil {
			return err
		}
		if s.absent, err = c.newQueue(s, max(part(c.cfg.NegativeSize, n, i), 1)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache[K, V]) newQueue(s *shard[K, V], size int) (*queue[K, V], error) {
	q, err := newQueue[K, V](size, c.cfg.Eviction)
	if err != nil {
		return nil, err
	}
	q.hash = s.table.hash
	q.dead = func(e *entry[K, V]) bool { return !e.live(s.epoch, s.now) }
	q.evict = func(e *entry[K, V]) { c.forgotten(s, s.table.hash(e.key), e) }
	return q, nil
}

// part is the i-th of n parts of a whole.
func part(whole, n, i int) int {
	p := whole / n
	if i < whole%n {
		p++
	}
	return p
}

// locate returns the hash of a key and the shard that it belongs to.
func (c *Cache[K, V]) locate(key K) (hash uint64, s *shard[K, V]) {
	hash = maphash.Comparable(c.seed, key)
	return hash, &c.shards[hash&uint64(len(c.shards)-1)]
}

func (c *Cache[K, V]) shard(key K) *shard[K, V] {
	_, s := c.locate(key)
	return s
}

// peek returns what is held of a key, or nil. It needs no lock.
func (c *Cache[K, V]) peek(key K) *entry[K, V] {
	hash, s := c.locate(key)
	return s.table.find(hash, key)
}

// hit looks a key up and notes the use. It returns nil if there is no entry that may be served. It takes no lock, except that
// EvictLRU takes the shard's.
func (c *Cache[K, V]) hit(key K) *entry[K, V] {
	// The order matters: what is looked up after the bus was asked has had all applied to it that made the bus fresh.
	now := elapsed.Now()
	trusted := c.trustAt(now)
	if trusted == trustNothing {
		return nil
	}
	hash, s := c.locate(key)
	epoch := c.epoch.Load()
	e := s.table.find(hash, key)
	at := c.clock(now)
	if e == nil || !e.live(epoch, at) {
		return nil
	}

	c.hits.count(e.absent(), trusted == trustServe)
	e.mark()
	if c.cfg.Eviction == EvictLRU {
		s.mu.Lock()
		s.queueOf(e).touch(e)
		s.mu.Unlock()
	}
	if e.expires-at < c.refreshAhead {
		c.refresh(e)
	}
	return e
}

func (s *shard[K, V]) queueOf(e *entry[K, V]) *queue[K, V] {
	if e.absent() {
		return s.absent
	}
	return s.values
}

// forgotten takes an entry that has left its queue out of everything else, with the shard locked.
func (c *Cache[K, V]) forgotten(s *shard[K, V], hash uint64, e *entry[K, V]) {
	s.table.remove(hash, e)
	s.current.add(e.epoch, e.absent(), -1)
	if !s.dropping {
		s.counts.evictedCapacity++
	}

	if x := e.extra; x != nil {
		c.cost.Add(-x.cost)
		c.tags.Release(x.marks)
	}

	if c.evictions.call != nil {
		c.evictions.add(e, s.reason(e))
	}
	c.names.index.remove(e.key)
}

// reason returns why an entry goes, with the shard locked.
func (s *shard[K, V]) reason(e *entry[K, V]) EvictReason {
	switch {
	case s.dropping:
		return s.why
	case e.live(s.epoch, s.now):
		return EvictedForRoom
	case e.expires <= s.now:
		return EvictedExpired
	}
	return EvictedInvalidated
}

// remove drops a key's entry, with the shard locked, and reports whether there was one.
func (c *Cache[K, V]) remove(s *shard[K, V], key K, why EvictReason) bool {
	hash := s.table.hash(key)
	e := s.table.find(hash, key)
	if e == nil {
		return false
	}
	s.dropping, s.why = true, why
	s.queueOf(e).remove(e)
	c.forgotten(s, hash, e)
	s.dropping = false
	return true
}

// put stores an entry, with the shard locked, in place of what is held of the key, and reports whether it is kept: it is
// not if it costs more than all may together. The caller calls trim when it has unlocked the shard.
func (c *Cache[K, V]) put(s *shard[K, V], e *entry[K, V], now int64) bool {
	c.remove(s, e.key, EvictedReplaced)
	if x := e.extra; x != nil && c.cfg.MaxCost > 0 && x.cost > c.cfg.MaxCost {
		c.tags.Release(x.marks)
		c.stats.refused(refusedCost)
		return false
	}

	s.epoch, s.now = c.epoch.Load(), now
	c.names.index.retain(e.key)
	s.queueOf(e).add(e)
	s.table.insert(s.table.hash(e.key), e)
	s.current = s.current.of(e.epoch)
	s.current.add(e.epoch, e.absent(), 1)
	if e.extra != nil {
		c.cost.Add(e.extra.cost)
	}
	return true
}

// trim evicts until what is held costs no more than MaxCost, from all shards in turn, but not the entry of this key.
// No shard is locked.
func (c *Cache[K, V]) trim(key K) {
	if c.cfg.MaxCost == 0 || c.cost.Load() <= c.cfg.MaxCost {
		return
	}

	keep := c.peek(key)
	for idle := 0; idle < len(c.shards) && c.cost.Load() > c.cfg.MaxCost; {
		s := &c.shards[c.trimmed.Add(1)&uint64(len(c.shards)-1)]
		s.mu.Lock()
		if s.values.evictOne(keep) {
			idle = 0
		} else {
			idle++
		}
		s.mu.Unlock()
	}
}

// purge drops all that is held, shard by shard.
func (c *Cache[K, V]) purge() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.dropping, s.why, s.epoch = true, EvictedCleared, c.epoch.Load()
		for s.values.evictOne(nil) || s.absent.evictOne(nil) { //nolint:revive // until there is none
		}
		s.dropping = false
		s.mu.Unlock()
	}
}

// clock is the time since the cache was made, the larger of the monotonic and the wall clock's: the monotonic one
// stands still in a suspended machine.
func (c *Cache[K, V]) clock(now elapsed.Instant) int64 { return int64(now.Since(c.start)) }
