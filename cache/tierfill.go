package cache

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// usesTier reports whether a batch may take values from the tier.
func (c *Cache[K, V]) usesTier(l *loadBatch[K, V]) bool {
	return c.tier != nil && !l.noTier && l.trusted
}

// fromTier looks in the tier for what batches are to read, and returns how many of their calls have not ended by that. They
// are recorded, so an invalidation that comes meanwhile counts against what the tier had.
func (c *Cache[K, V]) fromTier(ctx context.Context, calls []*call[K, V]) (rest int) {
	for len(calls) > 0 {
		n := min(len(calls), tierBatch)
		rest += c.fromTierAtOnce(ctx, calls[:n])
		calls = calls[n:]
	}
	return rest
}

func (c *Cache[K, V]) fromTierAtOnce(ctx context.Context, calls []*call[K, V]) (rest int) {
	epoch := c.tierEpoch(calls[0].Place.Epoch)
	asked, names := calls[:0:0], make([]string, 0, len(calls))
	for _, f := range calls {
		// A position that another call does not share is rare: a new log began a moment ago.
		if !f.Place.OK || c.tierEpoch(f.Place.Epoch) != epoch {
			rest++
			continue
		}
		asked, names = append(asked, f), append(names, f.name)
	}

	var values [][]byte
	switch len(asked) {
	case 0:
		return rest
	case 1:
		values = [][]byte{c.tier.get(ctx, names[0], epoch)}
	default:
		values = c.tier.getMany(ctx, names, epoch)
	}

	// To decode values takes longer than to read them, so of many each processor does a part.
	parts := min(runtime.GOMAXPROCS(0), len(asked)/leastDecoded)
	if parts < 2 {
		return rest + len(asked) - c.takeFromTier(asked, values, epoch)
	}
	var ended atomic.Int64
	var all sync.WaitGroup
	for i := range parts {
		from, to := i*len(asked)/parts, (i+1)*len(asked)/parts
		all.Go(func() { ended.Add(int64(c.takeFromTier(asked[from:to], values[from:to], epoch))) })
	}
	all.Wait()
	return rest + len(asked) - int(ended.Load())
}

// leastDecoded is how many values are worth a goroutine of their own.
const leastDecoded = 64

// takeFromTier ends the calls for which the tier's values will do, and returns how many. If the codec ends the goroutine it
// returns none.
func (c *Cache[K, V]) takeFromTier(calls []*call[K, V], values [][]byte, epoch string) (ended int) {
	for i, f := range calls {
		if values[i] == nil {
			continue
		}
		now := time.Now()
		found := c.tier.open(f.key, f.name, epoch, values[i], now)
		e := found.envelope
		if e == nil {
			continue
		}

		o := outcome[V]{loaded: Loaded[V]{Value: found.value, TTL: c.remaining(e, now), Tags: e.tags}, tiered: e}
		if e.absent {
			o.err = ErrNotFound
		}

		if c.finish(f, o) {
			ended++
		}
	}
	return ended
}

// tierEpoch returns the epoch that is a part of the tier's keys. It is empty if that guard is off.
func (c *Cache[K, V]) tierEpoch(epoch string) string {
	if c.judge.Guards.AnyEpoch {
		return ""
	}
	return epoch
}

// remaining returns how long a tier's value may still be kept: a hit does not prolong its life.
func (c *Cache[K, V]) remaining(e *envelope, now time.Time) time.Duration {
	most := c.cfg.TTL
	if e.absent {
		most = c.cfg.NegativeTTL
	}
	return min(max(time.UnixMilli(e.expires).Sub(now), time.Millisecond), most)
}

// seal returns what goes to the tier of what a load has read, if anything does. Whatever was invalidated since it began, the
// envelope says that it is from before.
func (c *Cache[K, V]) seal(f *call[K, V], o *outcome[V]) (v sealed[K, V], ok bool) {
	if c.tier == nil || o.err != nil && (!c.tier.absent || !o.absent()) {
		return v, false
	}
	if c.judge.Guards.LabelLate {
		time.Sleep(labelLate)
	}
	label, ok := c.judge.Label(&f.Load, c.valueOf(f, o))
	if !ok {
		return v, false
	}

	ttl := c.cfg.TTL
	if o.absent() {
		ttl = c.cfg.NegativeTTL
	}
	if o.loaded.TTL > 0 {
		ttl = o.loaded.TTL
	}
	ttl = min(ttl, maxTierTTL)
	return sealed[K, V]{key: f.key, tierEpoch: c.tierEpoch(f.Place.Epoch), value: o.loaded.Value, ttl: ttl, envelope: &envelope{
		topic: c.topic, name: f.name, program: c.tier.names.program, absent: o.err != nil,
		epoch: label.Epoch, at: label.At, extras: label.Extras, tags: o.loaded.Tags, expires: time.Now().Add(ttl).UnixMilli(),
	}}, true
}

// toTier stores what loads have read. Their readers have it already.
func (c *Cache[K, V]) toTier(l *loadBatch[K, V], values ...sealed[K, V]) {
	if len(values) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.shared))
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	c.tier.add(ctx, c.tier.items(values))
}

// writeBackTimeouts is how many times TierTimeout a value waits at most to be written.
const writeBackTimeouts = 20

// maxTierTTL bounds what is in a tier if the cache's TTL is Forever.
const maxTierTTL = 30 * 24 * time.Hour

// limitTogether calls expired if LoadContext, or a codec that reads what the tier had of so many keys, takes longer than loads
// may. It returns what ends the limit.
func (c *Cache[K, V]) limitTogether(keys int, expired func()) (end func()) {
	calls := time.Duration(keys/tierBatch + 1)
	if c.cfg.LoadTimeout >= Forever/calls {
		return func() {}
	}
	timer := time.AfterFunc(calls*c.cfg.LoadTimeout, expired)
	return func() { timer.Stop() }
}

// launchTogether starts batches of one key each: what the tier has of them is read at once.
func (c *Cache[K, V]) launchTogether(batches []*loadBatch[K, V]) {
	if len(batches) < 2 {
		for _, l := range batches {
			c.launch(l)
		}
		return
	}

	end := func(why error) {
		for _, l := range batches {
			l.cancel(why)
			c.endAll(l)
		}
	}
	c.working.add(1)
	go func() {
		defer c.working.add(-1)
		defer func() { // the codec may have ended the goroutine
			for _, l := range batches {
				if !l.hasEnded() {
					l.noTier = true
					c.launch(l)
				}
			}
		}()
		defer context.AfterFunc(c.life, func() { end(ErrClosed) })()
		defer c.limitTogether(len(batches), func() { end(ErrLoadTimeout) })()

		shared, err := c.shareContext(batches[0])
		if err != nil {
			return // each load says so itself
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(shared))
		defer cancel()
		defer context.AfterFunc(c.life, cancel)()

		calls := make([]*call[K, V], len(batches))
		for i, l := range batches {
			calls[i] = l.calls[0]
		}
		c.fromTier(ctx, calls)
	}()
}
