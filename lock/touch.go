package lock

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// touchBy has the waiters touched at a time, or sooner: when a lease expires without a notification, the first in its
// queue has to be there.
func (c *core) touchBy(at time.Time) {
	c.mu.Lock()
	sooner := at.Before(c.touchAt)
	if sooner {
		c.touchAt = at
	}
	c.mu.Unlock()
	if sooner {
		c.wakeLoop()
	}
}

// waiting lists the ids of those who wait here, and when they are to be touched.
func (c *core) waiting() (ids []string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.waiters {
		ids = append(ids, id)
	}
	return ids, c.touchAt
}

// touch shows that all who wait here are alive, wakes those whose turn it is, and has those whose rows are gone enter
// the queue again. The loop of Run calls it.
//
// It goes on for touchTimeout, chunk by chunk. What is left then comes first the next time, after a heartbeat: many waiters
// delay no lease, and what was done stays done.
func (c *core) touch(ctx context.Context, k *link, ids []string) error {
	c.setTouchAt(time.Now().Add(c.touchInterval()))
	if len(c.untouched) == 0 {
		c.untouched = ids
	}
	timeout := c.touchTimeout()

	for end := time.Now().Add(timeout); len(c.untouched) > 0; {
		left := time.Until(end)
		if left <= 0 {
			c.setTouchAt(time.Now())
			return nil
		}
		chunk := c.untouched[:min(len(c.untouched), c.chunk)]
		err := k.do(ctx, max(left, timeout/2), func(ctx context.Context, q querier) error { return c.sendTouch(ctx, q, chunk) })
		if err != nil { // perhaps the server is too slow for so many
			c.chunk = max(c.chunk/2, leastTouched)
			c.setTouchAt(time.Now().Add(pollInterval))
			return err
		}
		c.chunk = min(2*c.chunk, mostTouched)
		c.untouched = c.untouched[len(chunk):]
	}
	return nil
}

// A statement touches so many waiters, fewer after one that failed.
const leastTouched, mostTouched = 20, 1000

func (c *core) setTouchAt(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touchAt = at
}

func (c *core) touchInterval() time.Duration {
	if c.bus != nil && c.bus.State() == bus.Live {
		return waiterBeat
	}
	return pollInterval
}

// touchTimeout leaves time for a heartbeat of the shortest lease.
func (c *core) touchTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := waiterBeat
	for l := range c.leases {
		timeout = min(timeout, l.locker.options.TTL/4)
	}
	return timeout
}

func (c *core) touchOne(ctx context.Context, w *waiter) error {
	return c.sendTouch(ctx, c.pool, []string{w.id})
}

func (c *core) sendTouch(ctx context.Context, q querier, ids []string) error {
	rows, err := q.Query(ctx, c.sql.touch, ids, waiterAlive.Milliseconds(), c.cfg.ClaimTTL.Milliseconds())
	if err != nil {
		return err
	}
	found := make(map[string]bool, len(ids))
	var id string
	var turn bool
	var freeIn int64
	var key string
	var endsWithSession bool
	var ending []string // keys of leases that may end with a session before their time
	next := time.Hour
	_, err = pgx.ForEachRow(rows, []any{&id, &turn, &freeIn, &key, &endsWithSession, nil}, func() error {
		found[id] = true
		if turn && endsWithSession {
			ending = append(ending, key)
		}
		switch {
		case turn && freeIn <= 0:
			c.wake(id)
		case turn:
			next = min(next, time.Duration(freeIn)*time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if next < time.Hour {
		c.touchBy(time.Now().Add(next))
	}
	if err := c.reap(ctx, q, ending); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()

	for _, id := range ids {
		if w := c.waiters[id]; w != nil && !found[id] {
			signal(w.dropped)
		}
	}

	return nil
}

// reap has leases taken away whose owners' sessions have ended, and has the waiters touched again when that is next to be
// looked at.
func (c *core) reap(ctx context.Context, q querier, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	var heirs []string
	hinted, err := c.withHint(func(channel, prefix *string) error {
		heirs = heirs[:0]
		rows, err := q.Query(ctx, c.sql.reap, keys, waiterAlive.Milliseconds(), c.cfg.ClaimTTL.Milliseconds(), channel, prefix)
		if err != nil {
			return err
		}
		var heir *string
		var lookIn *int64
		_, err = pgx.ForEachRow(rows, []any{&heir, &lookIn}, func() error {
			if heir != nil {
				heirs = append(heirs, *heir)
			}
			if lookIn != nil {
				c.touchBy(time.Now().Add(time.Duration(*lookIn+1) * time.Millisecond))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err // nothing was handed over
	}
	c.metrics.takenOver.Add(int64(len(heirs)))

	for _, id := range heirs {
		c.handed(ctx, id, hinted)
	}
	return nil
}
