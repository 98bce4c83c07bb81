package main

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// absent is the version of a key that a cache does not answer.
const absent = -1

// cache is the smallest cache that obeys the rules: it serves only while the bus is fresh, and records a fill before it
// reads, so that an invalidation or a reset meanwhile detaches it. It also remembers which events arrived.
type cache struct {
	fresh func() bool

	mu      sync.Mutex
	entries []int64         // version by key
	fills   []int           // by key: the number of detachments, which a fill must not see change
	arrived map[int64]bool  // events by the version that they published
	cleared time.Time       // when all was last distrusted
	stuck   <-chan struct{} // what deliveries wait for; nil: nothing
	delay   time.Duration   // how long each delivery takes
	panics  int             // deliveries that are to panic
}

func newCache(keys int, fresh func() bool) *cache {
	c := &cache{fresh: fresh, entries: make([]int64, keys), fills: make([]int, keys), arrived: map[int64]bool{}}
	for i := range c.entries {
		c.entries[i] = absent
	}
	return c
}

// read answers all keys. Freshness is asked first: an entry that is looked up later has had all applied to it that the
// bus had applied until then.
func (c *cache) read() (versions []int64, fresh, complete bool) {
	fresh, complete = c.fresh(), true
	c.mu.Lock()
	defer c.mu.Unlock()
	versions = make([]int64, len(c.entries))
	for i, v := range c.entries {
		if v == absent {
			complete = false
		}
		if !fresh {
			v = absent // it goes to the database
		}
		versions[i] = v
	}
	return versions, fresh, complete
}

// begin records a fill of every key that is not there.
func (c *cache) begin() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	fill := map[int]int{}
	for i, v := range c.entries {
		if v == absent {
			fill[i] = c.fills[i]
		}
	}
	return fill
}

// finish stores what a fill has read, where nothing has detached it.
func (c *cache) finish(fill map[int]int, read map[int]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range fill {
		if v, ok := read[i]; ok && c.fills[i] == n {
			c.entries[i] = v
		}
	}
}

// Invalidate implements bus.Subscriber.
func (c *cache) Invalidate(d bus.Delivery) {
	c.trouble()
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.All {
		c.clear()
		return
	}
	for _, key := range d.Keys {
		kind, n := parseKey(key)
		switch {
		case kind == dataKey && n >= 0 && n < int64(len(c.entries)):
			c.entries[n] = absent
			c.fills[n]++
		case kind == eventKey && !d.Uncertain:
			c.arrived[n] = true
		}
	}
}

// Reset implements bus.Subscriber.
func (c *cache) Reset(bus.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
}

// clear distrusts everything. The lock is held.
func (c *cache) clear() {
	for i := range c.entries {
		c.entries[i] = absent
		c.fills[i]++
	}
	c.cleared = time.Now()
}

// missing are those of the events that have not arrived, and when all was last distrusted.
func (c *cache) missing(events []int64) (rest []int64, cleared time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		if !c.arrived[e] {
			rest = append(rest, e)
		}
	}
	return rest, c.cleared
}

// trouble is what a bad subscriber does. It waits outside of the lock: reads go on.
func (c *cache) trouble() {
	c.mu.Lock()
	stuck, delay, bad := c.stuck, c.delay, c.panics > 0
	if bad {
		c.panics--
	}
	c.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	if bad {
		panic("a subscriber that panics, for a fault test")
	}
}

// direct is a cache that the bus calls on the spot, as it calls the library's own.
type direct struct{ *cache }

// Synchronous implements hook.Synchronous.
func (direct) Synchronous(hook.Token) {}
