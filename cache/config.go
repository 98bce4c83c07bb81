package cache

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// The defaults of Config.
const (
	DefaultSize                    = 10_000
	DefaultTTL                     = 10 * time.Minute
	DefaultJitter                  = 0.1
	DefaultNegativeTTL             = 10 * time.Second
	DefaultLoadTimeout             = 10 * time.Second
	DefaultLoadConcurrency         = 32
	DefaultRecovery                = 10 * time.Second
	DefaultMaxBatch                = 1000
	DefaultTierTimeout             = 50 * time.Millisecond
	DefaultInvalidationHistory     = 4096
	DefaultTierInvalidationHistory = 65_536
)

// Forever is a TTL that never ends.
const Forever = time.Duration(math.MaxInt64)

// MaxKeyLen is the longest string form of a key or a tag, in bytes; with the mark of a tag, or of a key that looks like
// one, it is two bytes less.
const MaxKeyLen = 1024

// Config is how a cache works. The zero value, and nil, is a good one for keys that are strings, integers, UUIDs or byte
// arrays.
type Config[K comparable, V any] struct {
	// Size is how many values are kept at most. It is split over shards, which a hash of the key picks, so with many keys
	// some shards are full a few per cent before all are. Defaults to DefaultSize.
	Size int
	// Eviction is how the cache decides which value goes when it is full. Defaults to EvictAdaptive; EvictLRU evicts the
	// least recently used one, which costs every hit a lock.
	Eviction Eviction

	// Cost says how large a value is, in bytes or any other unit. It is called once for every value that is stored, under a
	// lock: do not call the cache in it. Needed with MaxCost only.
	Cost func(key K, value V) int64
	// MaxCost bounds the sum of the costs beside Size, over all shards; while a value is being stored the sum is above it by
	// that value's cost. A value that costs more than MaxCost alone is not stored, and counted as a refused fill. Zero: no
	// bound.
	MaxCost int64

	// TTL is how long a value is kept at most. Coherence does not need it; it bounds the harm of a writer that publishes
	// nothing. Defaults to DefaultTTL; Forever switches it off.
	TTL time.Duration
	// Jitter shortens each TTL by a random part of up to this fraction, so that what was loaded together is not
	// loaded anew together. At most 1. Defaults to DefaultJitter; negative switches it off.
	Jitter float64

	// NegativeTTL is how long it is remembered that a key does not exist. Inserts must invalidate. Defaults to
	// DefaultNegativeTTL; NoNegative switches it off.
	NegativeTTL time.Duration
	// NegativeSize is how many absent keys are remembered at most, apart from Size, so that asking for many keys that do
	// not exist does not push out those that do. Defaults to a quarter of Size, at least one.
	NegativeSize int
	// NoNegative: that a key does not exist is not remembered.
	NoNegative bool

	// KeyString is the text of a key in events and tiers. Needed for keys that are no strings, integers, byte arrays, or
	// byte arrays that marshal to text. Equal keys must give equal texts. It is called without any lock or under one of the
	// cache's: do not call the cache in it.
	KeyString func(K) string
	// ParseKey is the inverse of KeyString. Without it the cache keeps the text of every key beside it, which takes memory.
	// It is called with whatever others send on the topic.
	ParseKey func(string) (K, error)

	// Clone copies a value for a caller that may change it. Without it values are shared: nobody may change what Get
	// returned.
	Clone func(V) V

	// WhenStale says what becomes of reads while the bus is not fresh. Defaults to Bypass().
	WhenStale Policy
	// StaleOnError is for how long after the bus has ceased to be fresh, and after a value's TTL has ended, it is
	// still served if loading it anew fails. Defaults to nothing.
	StaleOnError time.Duration

	// LoadTimeout bounds each load, all its waiting included. Defaults to DefaultLoadTimeout; Forever switches it off.
	LoadTimeout time.Duration
	// LoadConcurrency is how many loads may run at once for Recovery after a reset, when a cache that was full is empty,
	// and how many of a GetMany without a BatchLoader. A batch counts as one, a load from within a load not at all.
	// Defaults to DefaultLoadConcurrency.
	LoadConcurrency int
	// Recovery is how long after a reset loads are bounded. Defaults to DefaultRecovery; negative switches that off.
	Recovery time.Duration
	// MaxBatch is how many keys a BatchLoader gets at once. Defaults to DefaultMaxBatch.
	MaxBatch int

	// Name is what metrics call the cache, for several that share a topic. Defaults to the topic.
	Name string

	// Tier is a second level behind this one, shared by all pods; nil: none. Its errors are never a caller's.
	Tier Tier
	// TierTimeout bounds each call of Tier. Defaults to DefaultTierTimeout.
	TierTimeout time.Duration
	// Codec is how values become bytes for Tier. Defaults to JSON.
	Codec Codec[V]

	// InvalidationHistory is how many of the recent invalidations are remembered. Values from a standby or a tier that were read
	// before the oldest of them are refused. Defaults to DefaultInvalidationHistory, with a Tier to DefaultTierInvalidationHistory.
	InvalidationHistory int

	// Audit makes RunAudit possible. Defaults to nil: off.
	Audit *AuditConfig[V]

	// Logger takes what has no caller to tell. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config[K, V]) withDefaults() Config[K, V] {
	var d Config[K, V]
	if c != nil {
		d = *c
	}
	d.Size = cmp.Or(d.Size, DefaultSize)
	d.TTL = cmp.Or(d.TTL, DefaultTTL)
	d.Jitter = max(cmp.Or(d.Jitter, DefaultJitter), 0)
	d.NegativeTTL = cmp.Or(d.NegativeTTL, DefaultNegativeTTL)
	d.NegativeSize = cmp.Or(d.NegativeSize, max(d.Size/4, 1))
	d.LoadTimeout = cmp.Or(d.LoadTimeout, DefaultLoadTimeout)
	d.LoadConcurrency = cmp.Or(d.LoadConcurrency, DefaultLoadConcurrency)
	d.Recovery = max(cmp.Or(d.Recovery, DefaultRecovery), 0)
	d.MaxBatch = cmp.Or(d.MaxBatch, DefaultMaxBatch)
	d.TierTimeout = cmp.Or(d.TierTimeout, DefaultTierTimeout)
	if d.Codec == nil {
		d.Codec = JSON[V]()
	}
	if d.InvalidationHistory == 0 {
		d.InvalidationHistory = DefaultInvalidationHistory
		if d.Tier != nil {
			d.InvalidationHistory = DefaultTierInvalidationHistory
		}
	}
	if d.Audit != nil {
		audit := d.Audit.withDefaults()
		d.Audit = &audit
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

func (c *Config[K, V]) validate() error {
	for _, n := range []struct {
		name  string
		value int
	}{
		{"Size", c.Size},
		{"NegativeSize", c.NegativeSize},
		{"LoadConcurrency", c.LoadConcurrency},
		{"MaxBatch", c.MaxBatch},
		{"InvalidationHistory", c.InvalidationHistory},
	} {
		if n.value < 1 {
			return fmt.Errorf("%w: %s: %d is less than 1", ErrConfig, n.name, n.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"TTL", c.TTL},
		{"NegativeTTL", c.NegativeTTL},
		{"LoadTimeout", c.LoadTimeout},
		{"TierTimeout", c.TierTimeout},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("%w: %s: %v is less than a millisecond", ErrConfig, d.name, d.value)
		}
	}
	switch {
	case c.Eviction > EvictLRU:
		return fmt.Errorf("%w: Eviction: unknown strategy %d", ErrConfig, c.Eviction)
	case c.Jitter > 1 || math.IsNaN(c.Jitter):
		return fmt.Errorf("%w: Jitter: %v is more than 1", ErrConfig, c.Jitter)
	case c.MaxCost < 0:
		return fmt.Errorf("%w: MaxCost: %d is negative", ErrConfig, c.MaxCost)
	case c.MaxCost > 0 && c.Cost == nil:
		return fmt.Errorf("%w: MaxCost needs Cost", ErrConfig)
	case c.ParseKey != nil && c.KeyString == nil:
		return fmt.Errorf("%w: ParseKey needs KeyString", ErrConfig)
	case c.StaleOnError < 0:
		return fmt.Errorf("%w: StaleOnError: %v is negative", ErrConfig, c.StaleOnError)
	case c.WhenStale.kind == policyServe && c.WhenStale.window <= 0:
		return fmt.Errorf("%w: WhenStale: ServeFor(%v) is not positive", ErrConfig, c.WhenStale.window)
	case c.Audit != nil:
		return c.Audit.validate()
	}
	return nil
}
