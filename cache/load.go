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
	stop, prepared, inTier := func() {}, func() {}, false
	defer func() { // a callback may have ended the goroutine
		defer c.working.add(-1)
		closing()
		ending()
		prepared()
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
	prepared = c.limitPreparation(l)
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
	prepared()
	if !l.awaitPermit() || !l.begin() {
		return // its calls have ended, or its context has
	}
	calls := c.startReading(l)
	if len(calls) == 0 {
		return
	}

	// The time-out runs from here: waiting for others is not the loader's time.
	primary := l.primary.Load()
	ctx, stop = c.readingContext(ctx, l, primary)

	if len(l.calls) > 1 && c.batch != nil {
		c.runBatch(ctx, l, calls, primary)
		return
	}
	for _, f := range calls {
		c.runOne(ctx, l, f, primary)
	}
}

// limitPreparation ends a batch if LoadContext, or a codec that reads what the tier had, takes longer than a load may. It
// returns what ends the limit.
func (c *Cache[K, V]) limitPreparation(l *loadBatch[K, V]) (end func()) {
	if c.cfg.LoadContext == nil && !c.usesTier(l) {
		return func() {}
	}
	return c.limitTogether(len(l.calls), func() { l.cancel(ErrLoadTimeout) })
}

// readingContext returns the loader's context, and what frees its timer.
func (c *Cache[K, V]) readingContext(
	shared context.Context, l *loadBatch[K, V], primary bool,
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

	if primary {
		ctx = wantPrimary(ctx)
	}
	return ctx, stop
}

// endAll ends what has not ended when a batch's context does. No reader waits for a loader that never returns.
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

// runOne calls the loader for one key, and once more if a standby was behind. Primary reports whether the loader was told to read
// from the primary: a context is not asked, because its values are the application's.
func (c *Cache[K, V]) runOne(ctx context.Context, l *loadBatch[K, V], f *call[K, V], primary bool) {
	for {
		o := c.callLoader(ctx, f.key)
		if !primary && c.behind(f, &o) {
			c.stats.refused(refusedSnapshot)
			ctx, primary = wantPrimary(ctx), true
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
func (c *Cache[K, V]) runBatch(ctx context.Context, l *loadBatch[K, V], calls []*call[K, V], primary bool) {
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
			if !primary && c.behind(f, &o) {
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
		calls, ctx, primary = again, wantPrimary(ctx), true
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

// isAbsent reports whether an error says that a key does not exist. A panic does not say so, whatever its value.
func isAbsent(err error) bool {
	if _, panicked := err.(*PanicError); panicked || err == nil { //nolint:errorlint // it is made by protect
		return false
	}
	return errors.Is(err, ErrNotFound)
}

func (c *Cache[K, V]) callLoader(ctx context.Context, key K) (o outcome[V]) {
	begun := time.Now()
	o.err = ErrLoaderExit
	defer func() { c.countLoad(ctx, o.err, time.Since(begun)) }()

	var err error
	if panicked := protect("loader", func() { o.loaded, err = c.loader.Load(ctx, key) }); panicked != nil {
		o.err = panicked
		return o
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
		o.err = panicked
		return nil, o
	}
	o.err = c.classify(err)
	return found, o
}

// classify makes an error that says "no such row" one that is ErrNotFound. An error's methods are the application's, too, and
// those of a nil pointer in an error like to panic: then the panic is the error.
func (c *Cache[K, V]) classify(err error) error {
	if err == nil {
		return nil
	}
	absent := false
	if panicked := c.callback("loader's error", func() { absent = errors.Is(err, ErrNotFound) }); panicked != nil {
		return panicked
	}
	if absent {
		return err
	}

	if panicked := c.callback("NotFound", func() { absent = c.cfg.NotFound(err) }); panicked != nil {
		return panicked
	}
	if absent {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
