package main

import (
	"context"
	"sync"
	"time"
)

// boardClock writes what this process knows onto a board: versions at once, and that they are due when the bound is over.
// It goes by this process' monotonic clock, and is late at most: then a read passes that need not have, and none fails
// that was right.
type boardClock struct {
	board *board
	bound time.Duration

	mu      sync.Mutex
	waiting []dueVersion // in the order of the evidence
	latest  time.Duration
}

// dueVersion is a version of a key and since when it is known to be committed.
type dueVersion struct {
	key int
	since
}

// boardEvery is how often versions become due.
const boardEvery = time.Millisecond

// committed notes evidence of a version. The oracle calls it, under its lock.
func (c *boardClock) committed(key int, version int64, at time.Time) {
	cell := &c.board.cells[key]
	if version <= cell.newest.Load() {
		return
	}
	cell.newest.Store(version)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, dueVersion{key, since{version, at}})
}

// confirmed notes that a version was confirmed. Evidence that it is committed has come before.
func (c *boardClock) confirmed(key int, version int64) { raise(&c.board.cells[key].confirmed, version) }

// run has versions become due until ctx ends.
func (c *boardClock) run(ctx context.Context) {
	for pause(ctx, boardEvery) == nil {
		c.mature(time.Now())
	}
}

// mature has become due what was committed longer ago than the bound.
func (c *boardClock) mature(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.waiting) && now.Sub(c.waiting[n].at) > c.bound {
		d := c.waiting[n]
		raise(&c.board.cells[d.key].due, d.version)
		c.latest = max(c.latest, now.Sub(d.at)-c.bound)
		n++
	}
	c.waiting = append(c.waiting[:0], c.waiting[n:]...)
}

// latency is by how much a version was written as due too late, at the most.
func (c *boardClock) latency() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// raise stores a version unless a newer one is there.
func raise(to interface {
	Load() int64
	CompareAndSwap(old, next int64) bool
}, version int64,
) {
	for old := to.Load(); old < version; old = to.Load() {
		if to.CompareAndSwap(old, version) {
			return
		}
	}
}
