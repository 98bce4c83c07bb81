package cache

import (
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// refresh loads a key whose entry expires soon, in the background. One reader of many begins
// it; if it fails, the next one waits for FailureBackoff.
func (c *Cache[K, V]) refresh(e *entry[K, V]) {
	if e.absent() || e.extra != nil && e.extra.brief {
		return
	}
	if _, claimed := c.refreshing.LoadOrStore(e, nil); claimed {
		return
	}
	name, err := c.names.name(e.key)
	if err != nil || c.closed.Load() {
		c.refreshing.Delete(e)
		return
	}

	l := c.newBatch(context.Background(), nil, true)
	l.noTier = true // what is there is no newer
	l.claimed = func() { c.refreshing.Delete(e) }
	epoch, at := c.readPosition()
	s := c.shard(e.key)
	s.mu.Lock()
	if k := s.loads.Get(e.key); k != nil || c.failures.pausing(e.key, c.clock(elapsed.Now())) != nil {
		s.mu.Unlock()
		l.claimed()
		l.cancel(nil)
		return // it is under way, or would fail
	}
	c.record(s, &call[K, V]{Load: fill.Load{Epoch: epoch, Place: at, Trusted: true}, batch: l, key: e.key, name: name}, false, time.Now())
	s.mu.Unlock()
	c.stats.refreshes.Add(1)
	c.launch(l)
}
