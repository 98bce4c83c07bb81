package cache

import (
	"hash/maphash"
	"math/bits"
	"runtime"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// entry is a stored value. There may be a million of them, so what few need stands behind a pointer.
type entry[V any] struct {
	value   V
	expires int64  // on the cache's clock
	epoch   uint32 // counts only if it is the cache's
	id      uint32 // of this entry, within its shard
	extra   *extra
}

// extra is what few entries need.
type extra struct {
	marks []*tagMark
	cost  int64
	err   error // of an absent key: what the loader said
}

// alive says whether none of the tags has been invalidated.
func (x *extra) alive() bool {
	for _, m := range x.marks {
		if m.dead.Load() {
			return false
		}
	}
	return true
}

// live says whether an entry may be served to somebody who may trust the cache.
func (e *entry[V]) live(epoch uint32, now int64) bool {
	return e.epoch == epoch && e.expires > now && (e.extra == nil || e.extra.alive())
}

// shard is a part of the cache with a lock of its own.
type shard[K comparable, V any] struct {
	mu       sync.Mutex
	values   *simplelru.LRU[K, entry[V]]
	absent   *simplelru.LRU[K, entry[struct{}]]
	loads    map[K]*call[K, V] // those that a new reader may join
	counts   counts
	nextID   uint32
	cost     int64
	maxCost  int64
	current  held // what is from the newest epoch that this shard knows
	dropping bool // an eviction is not for want of room

	_ [64]byte // the next shard's lock is on another cache line
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

// counts are of one shard, under its lock.
type counts struct {
	hits, negativeHits, misses, joined, staleHits, bypassed int64
	evictedCapacity, evictedExpired, evictedInvalidated     int64
}

// least is how many entries a shard has at least, because a small LRU's order is a poor one.
const least = 256

// shardCount is a power of two: enough that all processors seldom meet, few enough that each has room.
func shardCount(size int) int {
	n := 1 << bits.Len(uint(4*runtime.GOMAXPROCS(0)-1))
	for n > 1 && size/n < least {
		n /= 2
	}
	return min(n, 1024)
}

// newShards makes the shards.
func (c *Cache[K, V]) newShards() error {
	n := shardCount(c.cfg.Size)
	c.shards = make([]shard[K, V], n)
	c.seed = maphash.MakeSeed()
	for i := range c.shards {
		s := &c.shards[i]
		s.loads = make(map[K]*call[K, V])
		s.maxCost = c.cfg.MaxCost / int64(n)
		var err error
		s.values, err = simplelru.NewLRU(part(c.cfg.Size, n, i), func(key K, e entry[V]) {
			s.current = s.current.less(e.epoch, 1, 0)
			c.evicted(s, key, e.extra)
		})
		if err != nil {
			return err
		}
		s.absent, err = simplelru.NewLRU(max(part(c.cfg.NegativeSize, n, i), 1), func(key K, e entry[struct{}]) {
			s.current = s.current.less(e.epoch, 0, 1)
			c.evicted(s, key, e.extra)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// part is the i-th of n parts of a whole.
func part(whole, n, i int) int {
	p := whole / n
	if i < whole%n {
		p++
	}
	return p
}

func (h held) less(epoch uint32, values, absent int) held {
	if h.epoch == epoch {
		h.values -= values
		h.absent -= absent
	}
	return h
}

func (c *Cache[K, V]) shard(key K) *shard[K, V] {
	if len(c.shards) == 1 {
		return &c.shards[0]
	}
	return &c.shards[maphash.Comparable(c.seed, key)&uint64(len(c.shards)-1)]
}

// evicted is told of every entry that goes, with the shard locked.
func (c *Cache[K, V]) evicted(s *shard[K, V], key K, x *extra) {
	if !s.dropping {
		s.counts.evictedCapacity++
	}
	if x != nil {
		s.cost -= x.cost
		c.tags.release(x.marks)
	}
	c.unindex(key)
}

// drop removes a key's entries, with the shard locked, and says whether there were any.
func (s *shard[K, V]) drop(key K) bool {
	s.dropping = true
	value, absent := s.values.Remove(key), s.absent.Remove(key)
	s.dropping = false
	return value || absent
}

// put stores a value, with the shard locked. What is no longer the newest about this key goes.
func (c *Cache[K, V]) put(s *shard[K, V], key K, e entry[V]) bool {
	s.drop(key)
	if e.extra != nil && s.maxCost > 0 && e.extra.cost > s.maxCost {
		c.tags.release(e.extra.marks)
		return false
	}
	c.index(key)
	s.nextID++
	e.id = s.nextID
	s.current = s.current.of(e.epoch)
	s.current.values++
	if e.extra != nil {
		s.cost += e.extra.cost
	}
	s.values.Add(key, e)
	for s.maxCost > 0 && s.cost > s.maxCost {
		s.values.RemoveOldest()
	}
	return true
}

// putAbsent stores that there is nothing, with the shard locked.
func (c *Cache[K, V]) putAbsent(s *shard[K, V], key K, e entry[struct{}]) {
	s.drop(key)
	c.index(key)
	s.current = s.current.of(e.epoch)
	s.current.absent++
	s.absent.Add(key, e)
}

func (c *Cache[K, V]) index(key K) {
	if c.names.index == nil {
		return
	}
	if name, err := c.names.name(key); err == nil {
		c.names.index.add(name, key)
	}
}

func (c *Cache[K, V]) unindex(key K) {
	if c.names.index == nil {
		return
	}
	if name, err := c.names.name(key); err == nil {
		c.names.index.remove(name, key)
	}
}

// clock is the time since the cache was made, the larger of the monotonic and the wall clock's: the monotonic one
// stands still in a suspended machine.
func (c *Cache[K, V]) clock(now elapsed.Instant) int64 { return int64(now.Since(c.start)) }
