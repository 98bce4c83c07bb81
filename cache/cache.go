package cache

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Cache keeps the values that a loader has read, until an event on its topic invalidates them. All methods are safe
// for concurrent use. It is a prometheus.Collector.
type Cache[K comparable, V any] struct {
	// What a hit reads comes first, and the rest is on other cache lines: what misses and tiers count would slow hits down.
	source       hook.Source // nil: a foreign bus
	staleAfter   time.Duration
	serveFor     time.Duration // beyond staleAfter
	start        elapsed.Instant
	seed         maphash.Seed
	shards       []shard[K, V]
	hits         hitCounter
	names        *naming[K]
	refreshAhead int64         // zero: off
	epoch        atomic.Uint32 // entries and loads of another one do not count
	cfg          Config[K, V]

	_ [cacheLine]byte

	bus     bus.Bus
	topic   string
	loader  Loader[K, V]
	batch   BatchLoader[K, V] // nil: the loader is none
	applied func(bus.Receipt) bool
	judge   fill.Judge   // of what loads have read
	late    latePosition // for one of its guards; see Weaken

	tags       *fill.TagBook
	history    *history.History
	suspect    suspects
	dirty      atomic.Bool   // something was stored since the last clearing; for the policy Clear
	permits    chan struct{} // one for each load that may run
	failures   *failures[K]
	tier       *tier[K, V]
	stats      counters
	cost       atomic.Int64  // of all that is held, if MaxCost is set
	trimmed    atomic.Uint64 // picks the shard that trim evicts from next
	audit      audit
	evictions  evictions[K, V]
	refreshing sync.Map // entries for whose sake a refresh is under way
	logged     sync.Map // what is logged once only
	txTypes    sync.Map // types of values in contexts: whether they are transactions
	metrics    *metrics

	unsubscribe func()
	life        context.Context // ends with Close
	end         context.CancelFunc
	closed      atomic.Bool
	working     workers
	apart       apart // callbacks that the bus waits for
	logging     apart
}

// New returns a cache for a topic of a bus and subscribes it. It does no I/O. A nil cfg uses the defaults. Several
// caches may share a topic, even on one bus: each gets all of its events. Call Close when the cache is no longer
// used. The error is [ErrConfig] and names the argument or field.
//
// On a bus that is not from this module only Fresh is known. Then StaleOnError, ServeFor and Tier are errors, and
// values from a standby are not stored.
func New[K comparable, V any](b bus.Bus, topic string, load Loader[K, V], cfg *Config[K, V]) (*Cache[K, V], error) {
	begun := time.Now()
	c := &Cache[K, V]{bus: b, topic: topic, cfg: cfg.withDefaults(), loader: load, start: elapsed.At(begun)}
	if err := c.validate(); err != nil {
		return nil, err
	}

	// How keys become texts, and back.
	var err error
	if c.names, err = newNaming(c.cfg.KeyString, c.cfg.ParseKey); err != nil {
		return nil, err
	}
	if c.names.custom {
		c.names.callback = c.callback
	}
	if err = c.checkColumn(); err != nil {
		return nil, err
	}

	// What the loader and the bus can do beyond their interfaces.
	c.batch, _ = load.(BatchLoader[K, V])
	if err = c.attach(); err != nil {
		return nil, err
	}

	c.apart.working, c.audit.apart.working, c.logging.working = &c.working, &c.working, &c.working
	c.refreshAhead = int64(c.cfg.RefreshAhead)

	c.evictions.dropped = func() { c.stats.evictionsDropped.Add(1) }
	c.evictions.start = func(work func()) {
		c.working.add(1)
		go func() {
			defer c.working.add(-1)
			work()
		}()
	}
	if c.cfg.OnEvict != nil {
		c.evictions.call = func(key K, value V, why EvictReason) {
			_ = c.callback("OnEvict", func() { c.cfg.OnEvict(key, value, why) })
		}
	}

	c.tags = fill.NewTagBook()
	c.history = history.New(c.source, c.cfg.InvalidationHistory)
	c.judge = fill.Judge{Bus: c.source, History: c.history, Tags: c.tags, Epoch: &c.epoch}
	c.permits = make(chan struct{}, c.cfg.LoadConcurrency)
	if c.failures, err = newFailures[K](c.cfg.FailureBackoff); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}

	c.life, c.end = context.WithCancel(context.Background())
	c.hits = newHitCounter()
	if err = c.newShards(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}

	c.metrics = newMetrics(cmp.Or(c.cfg.Name, topic))
	if c.cfg.Tier != nil {
		if c.tier, err = newTier(c); err != nil {
			return nil, err
		}
	}

	// From here on the bus delivers events.
	c.history.Reset(begun) // what comes after Subscribe is delivered
	if c.tier != nil {
		c.unsubscribe = b.Subscribe(topic, &historian[K, V]{subscriber[K, V]{c}})
	} else {
		c.unsubscribe = b.Subscribe(topic, &subscriber[K, V]{c})
	}
	c.history.Subscribed(time.Now())
	return c, nil
}

// validate checks what New got beside the key's type.
func (c *Cache[K, V]) validate() error {
	switch {
	case c.bus == nil, isNilPointer(c.bus):
		return fmt.Errorf("%w: bus is nil", ErrConfig)
	case c.loader == nil:
		return fmt.Errorf("%w: loader is nil", ErrConfig)
	case c.topic == "":
		return fmt.Errorf("%w: topic is empty", ErrConfig)
	case len(c.topic) > bus.MaxTopicLen:
		return fmt.Errorf("%w: topic has %d bytes, at most %d", ErrConfig, len(c.topic), bus.MaxTopicLen)
	}

	if err := validateText("topic", c.topic); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c.cfg.validate()
}

// attach finds what this bus can do beyond bus.Bus.
func (c *Cache[K, V]) attach() error {
	if a, ok := c.bus.(interface{ Applied(r bus.Receipt) bool }); ok {
		c.applied = a.Applied
	}

	if c.cfg.WhenStale.kind == policyServe {
		c.serveFor = c.cfg.WhenStale.window
	}
	window := max(c.serveFor, c.cfg.StaleOnError)

	c.source = hook.SourceOf(c.bus)
	if c.source == nil {
		switch {
		case c.cfg.Tier != nil:
			return fmt.Errorf("%w: Tier: requires a bus that exposes positions", ErrConfig)
		case c.serveFor > 0:
			return fmt.Errorf("%w: WhenStale: requires a bus that exposes how long it has not been fresh", ErrConfig)
		case c.cfg.StaleOnError > 0:
			return fmt.Errorf("%w: StaleOnError: requires a bus that exposes how long it has not been fresh", ErrConfig)
		}
		return nil
	}

	c.staleAfter = c.source.StaleAfter()
	if window > 0 {
		if err := c.source.Extend(window); err != nil {
			return fmt.Errorf("%w: WhenStale and StaleOnError: %w", ErrConfig, err)
		}
	}
	return nil
}

// Topic returns the cache's topic on the bus.
func (c *Cache[K, V]) Topic() string { return c.topic }

// Close ends the subscription, cancels running loads, and drops all entries. It returns when the goroutines of the
// loads have ended, or with an error after LoadTimeout, at most ten seconds: a loader that ignores its context cannot
// be ended. Waiting readers get ErrClosed, and so do all later reads. A second Close is a no-op.
func (c *Cache[K, V]) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.unsubscribe()
	c.end()
	c.epoch.Add(1)
	c.purge()
	if n := c.working.wait(min(c.cfg.LoadTimeout, 10*time.Second)); n > 0 {
		return fmt.Errorf("cache: close: %d goroutines of loads have not ended", n)
	}
	return nil
}

// trust is what a reader may be served from here.
type trust = fill.Trust

const (
	trustNothing = fill.TrustNothing
	trustServe   = fill.TrustServe
	trustFresh   = fill.TrustFresh
)

// trustAt returns what may be served at a time that was just read.
func (c *Cache[K, V]) trustAt(now elapsed.Instant) trust {
	if c.source == nil {
		if c.bus.Fresh() {
			return trustFresh
		}
		return trustNothing
	}

	return fill.TrustAt(c.source.FreshAge(now), c.staleAfter, c.serveFor)
}

// position returns the bus' position, as a fill needs it.
func (c *Cache[K, V]) position() (p fill.Place) {
	if c.source != nil {
		p.Epoch, p.At, p.OK = c.source.Position()
	}
	if c.tier != nil {
		p.Mark = c.history.Mark()
	}
	return p
}

// readPosition reads what a fill is judged by, before anything of it is read. The cache's epoch comes first: a reset in
// between makes it an old one, and what is read then is not stored. The other way round a position from before a reset
// would pass for one of the new epoch.
func (c *Cache[K, V]) readPosition() (epoch uint32, p fill.Place) {
	if c.judge.Guards.EpochLate {
		p = c.late.position(c.position)
		return c.epoch.Load(), p
	}
	epoch = c.epoch.Load()
	return epoch, c.position()
}

// now returns the time on the cache's clock.
func (c *Cache[K, V]) now() int64 { return c.clock(elapsed.Now()) }

// workers counts the cache's goroutines.
type workers struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when there are none; nil while no Close waits
}

func (w *workers) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += n
	if w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// wait waits until there are none, or the time is over, and returns how many there are then.
func (w *workers) wait(most time.Duration) int {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return 0
	}

	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()

	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-idle:
		return 0
	case <-t.C:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.n
	}
}
