package cache

import (
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
)

// readMode is the kind of a read.
type readMode uint8

const (
	readCached readMode = iota
	readFresh           // from a load that begins now
)

// Get returns the value of a key, from the cache or by loading it. For a key that does not exist it returns
// [ErrNotFound]. Other errors are the loader's, *[PanicError], [ErrLoadTimeout], [ErrBehind], [ErrKey], [ErrClosed],
// or that of ctx. When ctx ends, the reader leaves and the load continues. A hit is returned even if ctx has ended.
//
// While the bus is not fresh, for example in an outage of the database, every Get loads, and so returns the loader's
// error: see ServeFor and StaleOnError.
//
// Values are shared unless Config.Clone is set: do not change them. Do not write a value back to the database either,
// because the row may have changed since. To change a row, read it in the transaction that changes it, FOR UPDATE.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	if c.names.hostile {
		if err := c.names.checkKey(key); err != nil {
			var none V
			return none, err
		}
	}
	if e := c.hit(key); e != nil {
		return c.found(e)
	}
	return c.get(ctx, key, readCached)
}

// GetFresh loads a value and never joins a load that began before the call: the value is from the time of the call or
// later. It never comes from a tier or a standby. Concurrent calls share loads: at most two loads of a key run, and
// all other callers wait for the next one.
func (c *Cache[K, V]) GetFresh(ctx context.Context, key K) (V, error) {
	return c.get(ctx, key, readFresh)
}

// GetAfter returns a value that includes the transaction of a receipt, which may be from another pod. If this pod has
// applied the receipt's events it is Get, otherwise GetFresh.
func (c *Cache[K, V]) GetAfter(ctx context.Context, key K, r bus.Receipt) (V, error) {
	if c.applied != nil && c.applied(r) || r.IsZero() {
		return c.Get(ctx, key)
	}
	return c.GetFresh(ctx, key)
}

// Peek returns the entry of a key if it may be served: a value, ErrNotFound if the key is known not to exist, or
// ErrNotCached. It loads nothing and does not count as a use.
func (c *Cache[K, V]) Peek(key K) (V, error) {
	v, err := c.servableValue(key)
	switch {
	case err == nil:
		c.stats.peeks[peekedValue].Add(1)
		return c.clone(v)
	case isAbsent(err):
		c.stats.peeks[peekedAbsent].Add(1)
	default:
		c.stats.peeks[peekedNothing].Add(1)
	}
	return v, err
}

func (c *Cache[K, V]) servableValue(key K) (v V, err error) {
	if err = c.names.checkKey(key); err != nil {
		return v, err
	}
	now := elapsed.Now()
	if c.trustAt(now) == trustNothing {
		return v, ErrNotCached
	}

	epoch := c.epoch.Load()
	e := c.peek(key)
	switch {
	case e == nil || !e.live(epoch, c.clock(now)):
		return v, ErrNotCached
	case e.absent():
		return v, e.extra.err
	}
	return e.value, nil
}

// found returns what an entry says of its key.
func (c *Cache[K, V]) found(e *entry[K, V]) (v V, err error) {
	if e.absent() {
		return v, e.extra.err
	}
	return c.clone(e.value)
}

// clone copies a value for its reader, if the cache has a Clone.
func (c *Cache[K, V]) clone(v V) (V, error) {
	if c.cfg.Clone == nil {
		return v, nil
	}
	var copied V
	err := c.callback("Clone", func() { copied = c.cfg.Clone(v) })
	return copied, err
}

// get is the slow path of Get: it looks again, and waits for a load.
func (c *Cache[K, V]) get(ctx context.Context, key K, mode readMode) (V, error) {
	var none V
	name, err := c.names.name(key)
	if err != nil {
		return none, err
	}

	// A load that began after this is new enough, whatever is invalidated meanwhile.
	asked := c.tags.Count()
	for {
		w, err := c.find(ctx, lookup[K, V]{key: key, name: name, mode: mode})
		switch {
		case err != nil:
			return none, err
		case w.hit && w.err == nil:
			return c.clone(w.val)
		case w.hit:
			return none, w.err
		case w.failed != nil:
			if old, ok := c.staleFallback(key); ok {
				return c.clone(old)
			}
			return none, w.failed
		}
		if w.batch != nil {
			c.launch(w.batch)
		}

		v, err, again := c.await(ctx, w.call, asked, mode)
		switch {
		case again:
		case err != nil:
			return none, err
		default:
			return c.clone(v)
		}
	}
}

// await waits for a call. If its value is from before a tag was invalidated that this reader asked after, it returns
// again. If the call fails or takes too long, it returns the value that is held, as far as StaleOnError allows.
func (c *Cache[K, V]) await(
	ctx context.Context, f *call[K, V], asked uint64, mode readMode,
) (v V, err error, again bool) {
	select {
	case <-f.done: // of many keys most have been loaded when the first has
		return c.ended(f, asked, mode)
	default:
	}

	var soft <-chan time.Time
	if c.cfg.StaleOnError > 0 && mode == readCached {
		timer := time.NewTimer(c.cfg.SoftTimeout - time.Since(f.recorded))
		defer timer.Stop()
		soft = timer.C
	}

	for {
		select {
		case <-f.done:
			return c.ended(f, asked, mode)

		case <-soft:
			soft = nil
			if old, ok := c.staleFallback(f.key); ok {
				f.batch.leave(false)
				return old, nil, false
			}

		case <-ctx.Done():
			select {
			case <-f.done:
				continue
			default:
			}
			f.batch.leave(c.cfg.CancelAbandoned)
			if mode == readCached && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				if old, ok := c.staleFallback(f.key); ok {
					return old, nil, false
				}
			}
			return v, ctx.Err(), false
		}
	}
}

// ended returns to a reader what a call has come to that has ended.
func (c *Cache[K, V]) ended(f *call[K, V], asked uint64, mode readMode) (v V, err error, again bool) {
	f.batch.leave(false)
	if fill.StartsOver(&f.Load, f.late, asked) {
		c.stats.loadsRestarted.Add(1)
		return v, nil, true
	}
	if f.err != nil && mode == readCached && !isAbsent(f.err) {
		if old, ok := c.staleFallback(f.key); ok {
			return old, nil, false
		}
	}
	return f.val, f.err, false
}
