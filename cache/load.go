package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// launch starts the goroutine of a batch whose calls are recorded.
func (c *Cache[K, V]) launch(l *loadBatch[K, V]) {
	c.working.add(1)
	go c.run(l)
}

// run reads, from the tier and from the loader, and ends the calls.
func (c *Cache[K, V]) run(l *loadBatch[K, V]) {
	closing := context.AfterFunc(c.life, func() { l.cancel(ErrClosed) })
	ending := context.AfterFunc(l.ctx, func() { c.endAll(l) })
	stop, inTier := func() {}, false
	defer func() { // a callback may have ended the goroutine
		defer c.working.add(-1)
		closing()
		ending()
		if inTier { // its troubles are not the readers'
			l.noTier = true
			c.launch(l)
			return
		}
		l.cancel(ErrLoaderExit)
		c.endAll(l)
		stop()
	}()

	if !l.awaitTurn() {
		return
	}
	ctx, err := c.shareContext(l)
	if err != nil {
		l.cancel(err)
		return
	}
	l.shared = ctx
	if c.usesTier(l) {
		inTier = true
		rest := c.fromTier(ctx, l.calls)
		if inTier = false; rest == 0 {
			return
		}
	}
	if !l.awaitPermit() || !l.begin() {
		return // its calls have ended, or its context has
	}
	calls := c.startReading(l)
	if len(calls) == 0 {
		return
	}

	// The time-out runs from here: waiting for others is not the loader's time.
	ctx, stop = c.readingContext(ctx, l)

	if len(l.calls) > 1 && c.batch != nil {
		c.runBatch(ctx, l, calls)
		return
	}
	for _, f := range calls {
		c.runOne(ctx, l, f)
	}
}

// readingContext returns the loader's context, and what frees its timer.
func (c *Cache[K, V]) readingContext(
	shared context.Context, l *loadBatch[K, V],
) (ctx context.Context, stop func()) {
	ctx, stop = shared, func() {}
	if c.cfg.LoadTimeout != Forever {
		timed, cancel := context.WithTimeoutCause(ctx, c.cfg.LoadTimeout, ErrLoadTimeout)
		ending := context.AfterFunc(timed, func() { c.endAll(l) })
		ctx, stop = timed, func() { ending(); cancel() }
	}
	l.mu.Lock()
	l.reading = ctx
	l.mu.Unlock()

	if l.primary.Load() {
		ctx = wantPrimary(ctx)
	}
	return ctx, stop
}

// endAll ends what has not ended when a batch's context does. A loader that never returns keeps nobody waiting.
func (c *Cache[K, V]) endAll(l *loadBatch[K, V]) {
	l.mu.Lock()
	left, calls := l.left, l.calls
	l.mu.Unlock()
	if left == 0 {
		return
	}
	for _, f := range calls {
		c.finish(f, outcome[V]{err: errEnded})
	}
}

// runOne calls the loader for one key, and once more if a standby was behind.
func (c *Cache[K, V]) runOne(ctx context.Context, l *loadBatch[K, V], f *call[K, V]) {
	for {
		o := c.callLoader(ctx, f.key)
		if !WantPrimary(ctx) && c.behind(f, &o) {
			c.stats.refused(refusedSnapshot)
			ctx = wantPrimary(ctx)
			continue
		}
		if c.finish(f, o) {
			if v, ok := c.seal(f, &o); ok {
				c.toTier(l, v)
			}
		}
		return
	}
}

// runBatch calls the loader for many keys, and once more for those of which a standby was behind.
func (c *Cache[K, V]) runBatch(ctx context.Context, l *loadBatch[K, V], calls []*call[K, V]) {
	var written []sealed[K, V] // to the tier, when all readers have their values
	defer func() { c.toTier(l, written...) }()
	for len(calls) > 0 {
		keys := make([]K, len(calls))
		for i, f := range calls {
			keys[i] = f.key
		}
		found, failed := c.callBatchLoader(ctx, keys)

		var again []*call[K, V]
		for _, f := range calls {
			o := failed
			if o.err == nil {
				if v, ok := found[f.key]; ok {
					o = outcome[V]{loaded: v}
				} else {
					o.err = ErrNotFound
				}
			}
			if !WantPrimary(ctx) && c.behind(f, &o) {
				c.stats.refused(refusedSnapshot)
				again = append(again, f)
				continue
			}
			if c.finish(f, o) {
				if v, ok := c.seal(f, &o); ok {
					written = append(written, v)
				}
			}
		}
		calls, ctx = again, wantPrimary(ctx)
	}
}

// outcome is what a load has come to.
type outcome[V any] struct {
	loaded Loaded[V]
	err    error
	tiered *envelope // it came from the tier
}

// absent reports whether the key does not exist.
func (o *outcome[V]) absent() bool { return isAbsent(o.err) }

func isAbsent(err error) bool { return err != nil && errors.Is(err, ErrNotFound) }

func (c *Cache[K, V]) callLoader(ctx context.Context, key K) (o outcome[V]) {
	begun := time.Now()
	o.err = ErrLoaderExit
	defer func() { c.countLoad(ctx, o.err, time.Since(begun)) }()

	var err error
	if panicked := protect("loader", func() { o.loaded, err = c.loader.Load(ctx, key) }); panicked != nil {
		err = panicked
	}
	o.err = c.classify(err)
	return o
}

func (c *Cache[K, V]) callBatchLoader(ctx context.Context, keys []K) (found map[K]Loaded[V], o outcome[V]) {
	begun := time.Now()
	o.err = ErrLoaderExit
	defer func() { c.countLoad(ctx, o.err, time.Since(begun)) }()

	var err error
	if panicked := protect("loader", func() { found, err = c.batch.LoadMany(ctx, keys) }); panicked != nil {
		err = panicked
	}
	o.err = c.classify(err)
	return found, o
}

// classify makes an error that says "no such row" one that is ErrNotFound.
func (c *Cache[K, V]) classify(err error) error {
	if err == nil || errors.Is(err, ErrNotFound) {
		return err
	}
	absent := false
	if panicked := c.callback("NotFound", func() { absent = c.cfg.NotFound(err) }); panicked != nil {
		return panicked
	}
	if absent {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
