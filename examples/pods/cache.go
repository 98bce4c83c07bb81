package main

import (
	"context"
	"sync"

	"github.com/pgcoherence/pgcoherence/bus"
)

// maxEntries bounds the cache; one more, and any other goes.
const maxEntries = 1000

// cache is the smallest cache that stays coherent: a map, and two rules that no map has by itself.
//
//   - What it holds is served only while the bus is fresh. Otherwise every read goes to the database.
//   - A load is noted before it reads. An invalidation that comes while it runs marks it dead: what it read may be the
//     old value, so its caller gets it, but it is not stored. Without this, a value could be stored right after the
//     invalidation that was meant for it, and stay for good.
//
// It is a bus.Subscriber.
type cache struct {
	fresh func() bool
	load  func(ctx context.Context, id string) (account, error)

	mu      sync.Mutex
	entries map[string]account
	loads   map[*load]struct{}
}

// load is a read of the database that is under way.
type load struct {
	id   string
	dead bool // guarded by the cache's mutex
}

func newCache(fresh func() bool, read func(context.Context, string) (account, error)) *cache {
	return &cache{fresh: fresh, load: read, entries: map[string]account{}, loads: map[*load]struct{}{}}
}

// found is what a cache answers.
type found struct {
	account
	cached bool // not read for this call
	fresh  bool // the bus was fresh, so the cache was asked at all
}

// get answers an account. Freshness is asked first: an entry that is looked up later has had all applied to it that the
// bus had applied until then.
func (c *cache) get(ctx context.Context, id string) (found, error) {
	if !c.fresh() {
		a, err := c.load(ctx, id)
		return found{account: a}, err
	}
	a, l := c.lookup(id)
	if l == nil {
		return found{account: a, cached: true, fresh: true}, nil
	}
	a, err := c.load(ctx, id)
	c.finish(l, a, err == nil)
	return found{account: a, fresh: true}, err
}

// lookup answers the entry, or notes that a load begins.
func (c *cache) lookup(id string) (account, *load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.entries[id]; ok {
		return a, nil
	}
	l := &load{id: id}
	c.loads[l] = struct{}{}
	return account{}, l
}

func (c *cache) finish(l *load, a account, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loads, l)
	if !ok || l.dead {
		return
	}
	if _, there := c.entries[l.id]; !there && len(c.entries) >= maxEntries {
		for other := range c.entries {
			delete(c.entries, other)
			break
		}
	}
	c.entries[l.id] = a
}

// drop forgets one account, in the map and in loads under way.
func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
	for l := range c.loads {
		if l.id == id {
			l.dead = true
		}
	}
}

func (c *cache) dropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	for l := range c.loads {
		l.dead = true
	}
}

// Invalidate implements bus.Subscriber.
func (c *cache) Invalidate(d bus.Delivery) {
	if d.All {
		c.dropAll()
		return
	}
	for _, id := range d.Keys {
		c.drop(id)
	}
}

// Reset implements bus.Subscriber.
func (c *cache) Reset(bus.Reason) { c.dropAll() }
