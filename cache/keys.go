package cache

import (
	"context"
	"iter"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// Len returns the number of stored values, including some that have expired or were invalidated by tag.
func (c *Cache[K, V]) Len() int { return c.totals().held.values }

// Keys iterates over the keys whose values may be served at the moment, in no particular order. It lists one shard at
// a time, and holds no lock while the loop's body runs. While the bus is not fresh there are none, unless ServeFor
// allows serving.
func (c *Cache[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for i := range c.shards {
			for _, key := range c.liveKeys(&c.shards[i]) {
				if !yield(key) {
					return
				}
			}
		}
	}
}

func (c *Cache[K, V]) liveKeys(s *shard[K, V]) (keys []K) {
	now := elapsed.Now()
	if c.trustAt(now) == trustNothing {
		return nil
	}

	epoch, at := c.epoch.Load(), c.clock(now)

	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.table.all {
		if !e.absent() && e.live(epoch, at) {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// warmPoll is how often Warm looks whether the bus is fresh.
const warmPoll = 10 * time.Millisecond

// Warm loads keys, so that the first readers find them. Call it before the pod reports that it is ready. It waits
// until the bus is fresh, because nothing is stored before, and then loads at most MaxBatch keys at a time. Keys that
// do not exist are no error. If some keys cannot be loaded, the others are, and the error is a *[KeysError]. It
// returns early if ctx ends.
func (c *Cache[K, V]) Warm(ctx context.Context, keys ...K) error {
	tick := time.NewTicker(warmPoll)
	defer tick.Stop()
	for c.trustAt(elapsed.Now()) != trustFresh {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.life.Done():
			return ErrClosed
		}
	}

	var failed *KeysError[K]
	for len(keys) > 0 && ctx.Err() == nil {
		n := min(len(keys), c.cfg.MaxBatch)
		if errs := c.loadAll(ctx, keys[:n]); errs != nil {
			failed = failed.merge(errs)
		}
		keys = keys[n:]
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	}
	return nil
}
