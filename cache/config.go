package cache

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// The defaults of Config.
const (
	DefaultSize                    = 10_000
	DefaultTTL                     = 10 * time.Minute
	DefaultJitter                  = 0.1
	DefaultNegativeTTL             = 10 * time.Second
	DefaultLoadTimeout             = 10 * time.Second
	DefaultLoadConcurrency         = 32
	DefaultSoftTimeout             = time.Second
	DefaultFailureBackoff          = 50 * time.Millisecond
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

	// Cost says how large a value is, in bytes or any other unit. It is called once for every value that is stored.
	// Needed with MaxCost only.
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

	// RefreshAhead is how long before the end of a value's TTL a hit has it loaded again in the background, so that nobody
	// waits for it; values with a TTL of less than twice as much are left alone. Each value that is read goes on costing one
	// load per TTL. At most half of TTL. Defaults to nothing: values are kept valid by events, TTLs are long, and a load in
	// the background has nobody's context and an error that nobody sees.
	RefreshAhead time.Duration

	// OnEvict is called for each value that is no longer held, such as to count or to close something. It runs in a
	// goroutine of its own, one call after the other, some time after; a value may still be in use by readers. If it is so
	// slow that 65,536 values wait, the rest is not reported.
	OnEvict func(key K, value V, why EvictReason)

	// NegativeTTL is how long it is remembered that a key does not exist. Inserts must invalidate. Defaults to
	// DefaultNegativeTTL; NoNegative switches it off.
	NegativeTTL time.Duration
	// NegativeSize is how many absent keys are remembered at most, apart from Size, so that asking for many keys that do
	// not exist does not push out those that do. Defaults to a quarter of Size, at least one.
	NegativeSize int
	// NoNegative: that a key does not exist is not remembered.
	NoNegative bool

	// KeyColumn is the type of the column that keys stand for, as Postgres names it: bigint, text, uuid, bytea, character(4).
	// If it is set, New returns an error for a type of keys that cannot be read from such a column, as triggers and SQL
	// write them. Keys that are strings need it for columns whose values have several texts: bytea, which some sessions
	// print in the escape format, and character(n), which loses its padding in a cast to text. Defaults to nothing: not
	// checked.
	KeyColumn string
	// KeyString is the text of a key in events and tiers. Needed for keys that are no strings, integers, byte arrays, or
	// byte arrays that marshal to text. Equal keys must give equal texts, and other keys other texts: an event that names a text
	// invalidates all keys that have it, and a tier keeps the value of only one of them. Use JoinKey for keys of several
	// parts: with "a"+":"+"b" one key's parts can give the text of another's.
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

	// SoftTimeout is how long a reader waits for a load if StaleOnError allows serving what is held: then it gets that,
	// and the load goes on. It helps when the database does not fail but hang. Defaults to DefaultSoftTimeout; Forever
	// switches it off. Without StaleOnError it does nothing.
	SoftTimeout time.Duration
	// FailureBackoff is how long after a failed load of a key its readers get the same error, or what StaleOnError allows,
	// without another load. It doubles with each failure in a row, up to five seconds. An invalidation of the key ends it,
	// and GetFresh does not wait for it. Defaults to DefaultFailureBackoff; negative switches it off.
	FailureBackoff time.Duration

	// LoadTimeout bounds each call of the loader, from its start. Defaults to DefaultLoadTimeout; Forever switches it off.
	LoadTimeout time.Duration
	// LoadConcurrency is how many loads run at once; others wait. It keeps a cache that is empty, or a bus that is not
	// fresh, from taking all the database has: set it below the size of the pool. A batch counts as one, and a load from
	// within a load as none, if the loader passes its context on. Defaults to DefaultLoadConcurrency.
	LoadConcurrency int
	// CancelAbandoned ends a load when the last reader that waited for it has left. By default it goes on until its
	// LoadTimeout and fills the cache: a query that takes longer than its readers' deadlines would otherwise never be
	// answered. Set it if loads are expensive, and readers seldom come back for the same key.
	CancelAbandoned bool
	// LoadContext chooses what a load sees of the context of the reader that began it; other readers share its value.
	// Whatever it returns, the load has no deadline from it, and sees no transaction or connection in it, as far as their
	// types show. Return context.Background() with the trace's span in it if loaders read anything else from contexts, such
	// as a user or a tenant, that is not part of the key. Defaults to the reader's context.
	LoadContext func(ctx context.Context) context.Context

	// NotFound reports whether an error of the loader's says that the key does not exist. ErrNotFound always does. Defaults
	// to pgx.ErrNoRows and sql.ErrNoRows.
	NotFound func(err error) bool

	// MaxBatch is how many keys a BatchLoader gets at once. Defaults to DefaultMaxBatch.
	MaxBatch int

	// Name is what metrics call the cache, for several that share a topic. Defaults to the topic.
	Name string

	// Tier is a second level behind this one, shared by all pods; nil: none. Its errors are never a caller's.
	Tier Tier
	// TierTimeout bounds each call of Tier. Defaults to DefaultTierTimeout.
	TierTimeout time.Duration
	// Codec is how values become bytes for Tier. Defaults to JSON; see also Compressed.
	Codec Codec[V]
	// TierVersion is the version of what Codec writes. Values of another one are never read, so while a new version of the
	// program is rolled out the old one does not read what it does not understand, and the new one no fields that are
	// missing. Set it if Codec looks at more than the type, and change it with what it writes. Defaults to a hash of V's
	// shape: the names, types and tags of fields, nested ones included.
	TierVersion string
	// TierAbsent: that a key does not exist is stored in Tier, too, for NegativeTTL. It is worth it if many pods ask for the
	// same absent keys, and not if anybody can make up keys: each would be a write. Defaults to false.
	TierAbsent bool

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
	d.SoftTimeout = cmp.Or(d.SoftTimeout, DefaultSoftTimeout)
	d.FailureBackoff = max(cmp.Or(d.FailureBackoff, DefaultFailureBackoff), 0)
	if d.NotFound == nil {
		d.NotFound = isNoRows
	}
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

// isNoRows is the default of Config.NotFound.
func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) }

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
		{"SoftTimeout", c.SoftTimeout},
		{"TierTimeout", c.TierTimeout},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("%w: %s: %v is less than a millisecond", ErrConfig, d.name, d.value)
		}
	}
	switch {
	case c.Eviction > EvictLRU:
		return fmt.Errorf("%w: Eviction: unknown strategy %d", ErrConfig, c.Eviction)
	case c.TierAbsent && c.NoNegative:
		return fmt.Errorf("%w: TierAbsent: absent keys are not kept with NoNegative", ErrConfig)
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
