package cache

import (
	"context"
	"errors"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// readMode is the kind of a read.
type readMode uint8

const (
	readCached readMode = iota
	readFresh           // from a load that begins now
)

// Get answers the value of a key, from the cache or by loading it. A key that does not exist is an error that is
// ErrNotFound. Other errors are the loader's, *PanicError, ErrLoadTimeout, ErrBehind, ErrKey, ErrClosed, or that of ctx, at
// whose end the caller leaves; the load goes on if others wait for it.
//
// Values are shared unless the cache has a Clone: do not change them.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	if e := c.hit(key); e != nil {
		return c.found(e)
	}
	return c.get(ctx, key, readCached)
}

// GetFresh loads a value and never waits for a load that began before it: what it answers was in the database when
// GetFresh was called, or later. It never comes from a tier or a standby.
func (c *Cache[K, V]) GetFresh(ctx context.Context, key K) (V, error) {
	return c.get(ctx, key, readFresh)
}

// GetAfter answers a value from after the transaction of a receipt, which may be another pod's. If its events have
// been applied here it is Get, otherwise GetFresh.
func (c *Cache[K, V]) GetAfter(ctx context.Context, key K, r bus.Receipt) (V, error) {
	if c.applied != nil && c.applied(r) || r.IsZero() {
		return c.Get(ctx, key)
	}
	return c.GetFresh(ctx, key)
}

// Peek answers what is held of a key, if it may be served. It loads nothing and does not count as a use.
func (c *Cache[K, V]) Peek(key K) (V, bool) {
	now := elapsed.Now()
	if c.trustAt(now) != trustNothing {
		epoch := c.epoch.Load()
		if e := c.peek(key); e != nil && !e.absent() && e.live(epoch, c.clock(now)) {
			return c.clone(e.value), true
		}
	}
	var none V
	return none, false
}

// found returns what an entry says of its key.
func (c *Cache[K, V]) found(e *entry[K, V]) (v V, err error) {
	if e.absent() {
		return v, e.extra.err
	}
	return c.clone(e.value), nil
}

func (c *Cache[K, V]) clone(v V) V {
	if c.cfg.Clone == nil {
		return v
	}
	return c.cfg.Clone(v)
}

// get is the long way: it looks again, and waits for a load.
func (c *Cache[K, V]) get(ctx context.Context, key K, mode readMode) (V, error) {
	var none V
	name, err := c.names.name(key)
	if err != nil {
		return none, err
	}
	for attempt := 0; ; attempt++ {
		f, err := c.find(ctx, key, name, mode, attempt > 1, nil)
		switch {
		case err != nil:
			return none, err
		case f.hit && f.err != nil:
			return none, f.err
		case f.hit:
			return c.clone(f.val), nil
		}
		if f.batch != nil {
			c.begin(f.batch)
		}
		v, err, again := c.await(ctx, f)
		switch {
		case again:
			continue
		case err == nil:
			return c.clone(v), nil
		case mode == readCached && ctx.Err() == nil && !errors.Is(err, ErrNotFound):
			if old, ok := c.staleFallback(key); ok {
				return c.clone(old), nil
			}
		}
		return none, err
	}
}

// await waits for a flight; again: the answer is from before a tag was invalidated that this reader knew of.
func (c *Cache[K, V]) await(ctx context.Context, w lookupResult[K, V]) (v V, err error, again bool) {
	f := w.call
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done:
		default:
			f.batch.leave()
			return v, ctx.Err(), false
		}
	}
	f.batch.leave()
	if f.late && w.joined > f.began.count {
		c.stats.loadsRestarted.Add(1)
		return v, nil, true
	}
	return f.val, f.err, false
}
