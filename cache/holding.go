package cache

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// Holding describes a cache's entry of one key, without the value.
type Holding struct {
	// Served reports whether readers get the entry at the moment. Otherwise it has expired, was invalidated by a tag
	// or a reset, or the bus is not fresh.
	Served bool `json:"served"`
	// Absent reports whether the entry says that the key does not exist.
	Absent bool `json:"absent"`
	// Age is the time since it was stored, to the second.
	Age time.Duration `json:"age"`
	// Expires is the time until it expires; 0 if it has expired, Forever if it does not expire.
	Expires time.Duration `json:"expires"`
	// Loading reports whether a load of the key is running.
	Loading bool `json:"loading"`
}

// Holdings returns the entries of a key, given as its text in events; a text can mean several keys. It is for
// debugging and does not count as a read. It returns nil without an entry and without a running load.
func (c *Cache[K, V]) Holdings(text string) []Holding {
	var found []Holding
	for _, key := range c.keysOf(text) {
		if h, ok := c.holding(key); ok {
			found = append(found, h)
		}
	}
	return found
}

// keysOf returns the keys that a text can mean.
func (c *Cache[K, V]) keysOf(text string) (keys []K) {
	err := c.callback("ParseKey or KeyString", func() {
		for _, t := range c.names.plain(nil, text) {
			keys = append(keys, t.key)
		}
	})
	if err != nil {
		return nil
	}
	return keys
}

func (c *Cache[K, V]) holding(key K) (h Holding, ok bool) {
	now := elapsed.Now()
	trusted := c.trustAt(now) != trustNothing
	epoch, at := c.epoch.Load(), c.clock(now)

	s := c.shard(key)
	s.mu.Lock()
	h.Loading = s.loads.Get(key) != nil
	s.mu.Unlock()
	e := c.peek(key)
	if e == nil {
		return h, h.Loading
	}

	h.Served, h.Absent = trusted && e.live(epoch, at), e.absent()
	h.Age = time.Duration(max(at-e.stored(), 0)).Truncate(time.Second)
	h.Expires = Forever
	if e.expires != int64(Forever) {
		h.Expires = time.Duration(max(e.expires-at, 0))
	}
	return h, true
}
