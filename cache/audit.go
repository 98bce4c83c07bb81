package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// AuditConfig configures [Cache.RunAudit].
type AuditConfig[V any] struct {
	// Rate is how many entries are compared per second. Each comparison costs a load, which is neither shared nor
	// stored. Defaults to DefaultAuditRate.
	Rate float64
	// Equal reports whether two values are the same. Set it if values contain parts that differ between loads, or if
	// comparing is slow. Defaults to comparing the bytes of Config.Codec if Tier is set, and to reflect.DeepEqual
	// otherwise.
	Equal func(held, read V) bool
	// OnStale is called for each entry that was stale for longer than a bound, one call after the other; RunAudit waits
	// for it. Defaults to nil: such entries are only counted and logged.
	OnStale func(Finding)
}

// DefaultAuditRate is one entry per second.
const DefaultAuditRate = 1

func (a *AuditConfig[V]) withDefaults() AuditConfig[V] {
	d := *a
	if d.Rate == 0 {
		d.Rate = DefaultAuditRate
	}
	return d
}

func (a *AuditConfig[V]) validate() error {
	if !(a.Rate > 0 && a.Rate <= 10_000) {
		return fmt.Errorf("%w: Audit.Rate: %v is not between 0 and 10,000", ErrConfig, a.Rate)
	}
	return nil
}

// Finding is an entry that could have been served while it differed from the database for longer than a bound.
type Finding struct {
	Topic string
	// KeyHash is the first part of the SHA-256 of the key's text.
	KeyHash string
	Bound   time.Duration
	// Since is when the difference was first found.
	Since time.Time
	// Invalidated is when an event last named the key or the whole topic on this pod; zero if none is remembered.
	Invalidated time.Time
	// XIDs are the transactions of the remembered events.
	XIDs []uint64
}

// AuditStats counts the results of the auditor.
type AuditStats struct {
	Checks  int64                   // entries compared
	Skipped int64                   // entries that were removed meanwhile, or could not be loaded again
	Stale   map[time.Duration]int64 // by bound: entries that differed for longer than it
}

// auditBounds are how long a difference has to last to be counted: below the first it is the delay of any event.
var auditBounds = [...]time.Duration{time.Second, 10 * time.Second, 60 * time.Second}

// ErrNoAudit is returned by RunAudit without Config.Audit, and while RunAudit already runs.
var ErrNoAudit = errors.New("cache: no audit is configured, or it runs already")

// audit is what RunAudit counts.
type audit struct {
	running         atomic.Bool
	checks, skipped atomic.Int64
	stale           [len(auditBounds)]atomic.Int64
	apart           apart
}

func (a *audit) snapshot() AuditStats {
	s := AuditStats{Checks: a.checks.Load(), Skipped: a.skipped.Load(), Stale: make(map[time.Duration]int64)}
	for i, bound := range auditBounds {
		s.Stale[bound] = a.stale[i].Load()
	}
	return s
}

// differing is an entry that differs from the database, until that is no longer so or the last bound has passed.
type differing[K comparable, V any] struct {
	key   K
	entry *entry[K, V]
	since time.Time
	next  int // bound
}

// RunAudit compares sampled entries with what the loader reads, until ctx ends, and counts entries that are stale for
// longer than 1, 10 and 60 seconds. It measures how often the cache is wrong. An entry counts only if it has not been
// replaced after its value was read again, and could have been served. RunAudit returns nil when ctx has ended.
//
// Once for every 64 samples it lists the keys of a shard, which locks that shard for some milliseconds if it has many
// keys.
func (c *Cache[K, V]) RunAudit(ctx context.Context) error {
	if c.cfg.Audit == nil || c.audit.running.Swap(true) {
		return ErrNoAudit
	}
	defer c.audit.running.Store(false)

	tick := time.NewTicker(time.Duration(float64(time.Second) / c.cfg.Audit.Rate))
	defer tick.Stop()
	var sample []K
	var open []differing[K, V]

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.life.Done():
			return ErrClosed
		case <-tick.C:
		}

		open = c.recheck(ctx, open)
		if len(sample) == 0 {
			sample = c.sample()
		}
		if len(sample) == 0 {
			continue
		}

		key := sample[len(sample)-1]
		sample = sample[:len(sample)-1]
		if d, ok := c.compare(ctx, key); ok && len(open) < maxDiffering {
			open = append(open, d)
		}
	}
}

const (
	sampleSize   = 64
	maxDiffering = 1024
)

// sample draws keys from one shard.
func (c *Cache[K, V]) sample() []K {
	s := &c.shards[rand.IntN(len(c.shards))] //nolint:gosec // a sample, no secret
	var keys []K
	s.mu.Lock()
	for e := range s.table.all {
		if !e.absent() {
			keys = append(keys, e.key)
		}
	}
	s.mu.Unlock()
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return append([]K(nil), keys[:min(sampleSize, len(keys))]...)
}

// servable returns the entry of a key, if it may be served now.
func (c *Cache[K, V]) servable(key K) (e *entry[K, V], ok bool) {
	now := elapsed.Now()
	if c.trustAt(now) != trustFresh {
		return nil, false
	}
	epoch := c.epoch.Load()
	e = c.peek(key)
	return e, e != nil && !e.absent() && e.live(epoch, c.clock(now))
}

// same reports whether the entry of a key is still this one and may be served.
func (c *Cache[K, V]) same(key K, e *entry[K, V]) bool {
	now, ok := c.servable(key)
	return ok && now == e
}

// compare compares one entry with what the loader reads now.
func (c *Cache[K, V]) compare(ctx context.Context, key K) (d differing[K, V], differs bool) {
	e, ok := c.servable(key)
	if !ok {
		c.audit.skipped.Add(1)
		return d, false
	}
	equal, ok := c.matches(ctx, key, e)
	if !ok {
		c.audit.skipped.Add(1)
		return d, false
	}
	c.audit.checks.Add(1)
	return differing[K, V]{key: key, entry: e, since: time.Now()}, !equal && c.same(key, e)
}

// matches reads a key again, from the primary, and compares it; ok is false if that failed. It runs in a goroutine of its
// own: what the application's functions do there ends neither RunAudit nor the wait for its context.
func (c *Cache[K, V]) matches(ctx context.Context, key K, e *entry[K, V]) (equal, ok bool) {
	if c.audit.apart.overdue.Load() > 0 {
		return false, false
	}
	if c.cfg.LoadTimeout != Forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.LoadTimeout)
		defer cancel()
	}

	equal, err := callApart(ctx, &c.audit.apart, 0, "loader or Audit.Equal", func() (bool, error) {
		l, err := c.loader.Load(wantPrimary(ctx), key)
		switch err = c.classify(err); {
		case isAbsent(err):
			return false, nil
		case err != nil:
			return false, err
		}
		return c.equal(e.value, l.Value), nil
	})
	if isPanic(err) {
		c.notePanic("loader or Audit.Equal", err)
	}
	return equal, err == nil
}

func (c *Cache[K, V]) equal(a, b V) bool {
	if f := c.cfg.Audit.Equal; f != nil {
		return f(a, b)
	}
	if c.tier != nil {
		x, err := c.tier.encode(a)
		y, err2 := c.tier.encode(b)
		if err == nil && err2 == nil {
			return bytes.Equal(x, y)
		}
	}
	return reflect.DeepEqual(a, b)
}

// recheck looks at entries that differed: those that went, or are the same as the database again, are no finding.
func (c *Cache[K, V]) recheck(ctx context.Context, open []differing[K, V]) (still []differing[K, V]) {
	for _, d := range open {
		switch {
		case !c.same(d.key, d.entry):
			continue
		case time.Since(d.since) < auditBounds[d.next]:
			still = append(still, d)
			continue
		}

		equal, ok := c.matches(ctx, d.key, d.entry)
		if ok && equal || !c.same(d.key, d.entry) {
			continue
		}
		if !ok {
			still = append(still, d)
			continue
		}

		c.report(ctx, d)
		if d.next++; d.next < len(auditBounds) {
			still = append(still, d)
		}
	}
	return still
}

// report counts a finding, logs it, and passes it on.
func (c *Cache[K, V]) report(ctx context.Context, d differing[K, V]) {
	c.audit.stale[d.next].Add(1)
	f := Finding{Topic: c.topic, Bound: auditBounds[d.next], Since: d.since}
	if name, err := c.names.name(d.key); err == nil {
		sum := sha256.Sum256([]byte(name))
		f.KeyHash = hex.EncodeToString(sum[:8])
		f.Invalidated, f.XIDs = c.history.Recent(name)
	}

	c.log(slog.LevelWarn, "cache: entry differs from the database",
		slog.String("topic", f.Topic), slog.String("key_hash", f.KeyHash), slog.Duration("bound", f.Bound),
		slog.Time("since", f.Since), slog.Time("invalidated", f.Invalidated), slog.Any("xids", f.XIDs))

	if c.cfg.Audit.OnStale == nil || c.audit.apart.overdue.Load() > 0 {
		return
	}
	_, err := callApart(ctx, &c.audit.apart, 0, "Audit.OnStale", func() (struct{}, error) {
		c.cfg.Audit.OnStale(f)
		return struct{}{}, nil
	})
	if isPanic(err) {
		c.notePanic("Audit.OnStale", err)
	}
}

func (c *Cache[K, V]) collectAudit(counter metricFunc[int64], gauge metricFunc[float64]) {
	if c.cfg.Audit == nil {
		return
	}
	m, s := c.metrics, c.audit.snapshot()
	counter(m.auditChecks, s.Checks, "compared")
	counter(m.auditChecks, s.Skipped, "skipped")
	for _, bound := range auditBounds {
		counter(m.auditStale, s.Stale[bound], bound.String())
		if s.Checks > 0 {
			gauge(m.auditNines, nines(s.Stale[bound], s.Checks), bound.String())
		}
	}
}

// nines of 1 wrong in 1,000 are 3; of none they are as many as of one.
func nines(wrong, of int64) float64 {
	return -math.Log10(float64(max(wrong, 1)) / float64(max(of, wrong, 1)))
}
