package cache

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// The defaults of [Config].
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

// Forever is a duration without end, for example for Config.TTL.
const Forever = time.Duration(math.MaxInt64)

// MaxKeyLen is the maximum length of the text of a key or tag, in bytes. For a tag, and for a key that begins with
// "~", it is two bytes less.
const MaxKeyLen = 1024

// Config configures a [Cache]. A nil or zero Config uses the defaults, which suit keys that are strings, integers,
// UUIDs or byte arrays.
type Config[K comparable, V any] struct {
	// Size is the maximum number of values. It is split over shards by a hash of the key, so with many keys some
	// shards are full when the cache is a few per cent below Size. Defaults to DefaultSize.
	Size int
	// Eviction is the strategy that chooses which entry to evict. Defaults to EvictAdaptive. EvictLRU evicts the
	// least recently used entry, at the price of a lock for every hit.
	Eviction Eviction

	// Cost returns the size of a value, in bytes or any other unit. It is called once for every stored value. Needed
	// only with MaxCost.
	Cost func(key K, value V) int64
	// MaxCost bounds the sum of the costs, in addition to Size, over all shards. While a value is being stored, the
	// sum may exceed it by that value's cost. A single value that costs more is not stored, and counted as a refused
	// fill. Defaults to 0: no bound.
	MaxCost int64

	// TTL is how long a value is kept at most. Coherence does not need it; it bounds the harm of a writer that does
	// not publish. Defaults to DefaultTTL; Forever switches it off.
	TTL time.Duration
	// Jitter shortens each TTL by a random part, at most this fraction from 0 to 1, so that values that were loaded
	// together do not expire together. Defaults to DefaultJitter; a negative value switches it off.
	Jitter float64

	// RefreshAhead is how long before the end of a value's TTL a hit makes the cache load it again in the background,
	// so that no reader waits for it. Values with a TTL below twice RefreshAhead are excluded. At most half of
	// the shortest TTL that Jitter leaves. Defaults to 0, off: events keep values valid and TTLs are long, while each
	// refreshed value costs one load per TTL, with errors that no caller sees.
	RefreshAhead time.Duration

	// OnEvict is called for each value that was removed, for example to count it or to close a resource. It is called
	// some time later, one call after the other, in a goroutine of its own. Readers may still use the value. If it is
	// so slow that 65,536 values wait, the others are not reported. Defaults to nil.
	OnEvict func(key K, value V, why EvictReason)

	// NegativeTTL is how long the cache remembers that a key does not exist. Inserts must invalidate. Defaults to
	// DefaultNegativeTTL; NoNegative switches it off.
	NegativeTTL time.Duration
	// NegativeSize is the maximum number of remembered absent keys. It is separate from Size, so that reads of many
	// absent keys do not evict values. Defaults to a quarter of Size, at least one.
	NegativeSize int
	// NoNegative switches off remembering that keys do not exist. Defaults to false.
	NoNegative bool

	// KeyColumn is the Postgres type of the column that keys stand for: bigint, text, uuid, bytea, character(4). If
	// it is set, New returns an error for a key type that cannot be read from the texts that triggers and SQL write
	// for such a column. String keys need it for columns whose values have several texts: bytea, which some sessions
	// print in the escape format, and character(n), which loses its padding in a cast to text. Defaults to "": not
	// checked.
	KeyColumn string
	// KeyString returns the text of a key in events and tiers. Needed for keys that are not strings, integers, byte
	// arrays, or byte arrays that marshal to text. Equal keys must have equal texts, and different keys different
	// ones: an event invalidates all keys with its text, and a tier keeps one value per text. Use JoinKey for keys of
	// several parts, because "a"+":"+"b" can give two keys the same text.
	KeyString func(K) string
	// ParseKey is the inverse of KeyString. Without it the cache stores the text of every key, which takes memory. It
	// is called with every text that arrives on the topic.
	ParseKey func(string) (K, error)

	// Clone copies a value for a reader that may change it. Defaults to nil: readers share values and must not change
	// them.
	Clone func(V) V

	// WhenStale says how reads work while the bus is not fresh. Defaults to Bypass().
	WhenStale Policy
	// StaleOnError is how long a value is still served if loading it again fails, counted from when the bus ceased to
	// be fresh and from the end of the value's TTL. Defaults to 0, off.
	StaleOnError time.Duration

	// SoftTimeout is how long a reader waits for a load if StaleOnError allows the old value: then it gets that
	// value, and the load continues. It is for a database that hangs instead of failing. Without StaleOnError it has
	// no effect. Defaults to DefaultSoftTimeout; Forever switches it off.
	SoftTimeout time.Duration
	// FailureBackoff is how long after a failed load of a key its readers get the same error, or a value that
	// StaleOnError allows, without another load. It doubles with each failure in a row, up to five seconds. An
	// invalidation of the key ends it, and GetFresh ignores it. Defaults to DefaultFailureBackoff; a negative value
	// switches it off.
	FailureBackoff time.Duration

	// LoadTimeout bounds each call of the loader, from its start. Defaults to DefaultLoadTimeout; Forever switches it off.
	LoadTimeout time.Duration
	// LoadConcurrency is the maximum number of concurrent loads; others wait. It keeps an empty cache, or a bus that
	// is not fresh, from overloading the database: set it below the size of the pool. A batch counts as one load, and
	// a load within a load as none, if the loader passes its context on. Defaults to DefaultLoadConcurrency.
	LoadConcurrency int
	// CancelAbandoned ends a load when its last reader has left. Set it if loads are expensive and readers rarely
	// come back for the same key. Defaults to false: the load continues until LoadTimeout and fills the cache,
	// because otherwise a query that takes longer than its readers' deadlines would never succeed.
	CancelAbandoned bool
	// LoadContext returns the context of a load, given that of the reader that began it; other readers share the
	// result. Whatever it returns, the load does not get a deadline from it, nor a transaction or connection in it
	// that is recognizable by its type. If loaders read anything else from contexts that is not part of the key, such
	// as a user or a tenant, return context.Background() with the span of the trace. Defaults to the reader's
	// context.
	LoadContext func(ctx context.Context) context.Context

	// NotFound reports whether an error of the loader means that the key does not exist. ErrNotFound always does.
	// Defaults to pgx.ErrNoRows and sql.ErrNoRows.
	NotFound func(err error) bool

	// MaxBatch is the maximum number of keys for one call of a BatchLoader. Defaults to DefaultMaxBatch.
	MaxBatch int

	// Name is the name of the cache in metrics, for several caches that share a topic. Defaults to the topic.
	Name string

	// Tier is a second-level cache that all pods share. Its errors never reach a caller. Defaults to nil: none. A nil
	// pointer, as a constructor returns it with an error, is none, too.
	Tier Tier
	// TierTimeout bounds each call of Tier. Defaults to DefaultTierTimeout.
	TierTimeout time.Duration
	// Codec converts values to bytes for Tier. Defaults to JSON; see also Compressed.
	Codec Codec[V]
	// TierVersion is the version of the form that Codec writes. Values of another version are never read, so during
	// the rollout of a new program version, old and new pods do not misread each other's values. Set it if Codec
	// depends on more than the type, and change it with the form. Defaults to a hash of the names, types and tags of
	// V's fields, including nested ones.
	TierVersion string
	// TierAbsent stores in Tier, for NegativeTTL, that a key does not exist. It helps if many pods read the same
	// absent keys, but not if clients can invent keys, because each is a write. Defaults to false.
	TierAbsent bool

	// InvalidationHistory is how many recent invalidations are remembered. A value from a standby or a tier that was
	// read before the oldest of them is refused. Defaults to DefaultInvalidationHistory, with a Tier to
	// DefaultTierInvalidationHistory.
	InvalidationHistory int

	// Audit enables RunAudit. Defaults to nil: off.
	Audit *AuditConfig[V]

	// Logger receives errors that have no caller. Defaults to slog.Default().
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
	if isNilPointer(d.Tier) {
		d.Tier = nil
	}
	if d.Codec == nil || isNilPointer(d.Codec) {
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

// isNilPointer reports whether an interface holds a nil pointer, as after a constructor that returned one with an error.
func isNilPointer(v any) bool {
	p := reflect.ValueOf(v)
	return p.Kind() == reflect.Pointer && p.IsNil()
}

// isNoRows is the default of Config.NotFound.
func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) }

// shortestTTL returns what Jitter can make of TTL.
func (c *Config[K, V]) shortestTTL() time.Duration {
	if c.TTL == Forever {
		return Forever
	}
	return time.Duration((1 - c.Jitter) * float64(c.TTL))
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
	case c.RefreshAhead < 0:
		return fmt.Errorf("%w: RefreshAhead: %v is negative", ErrConfig, c.RefreshAhead)
	case c.RefreshAhead > c.shortestTTL()/2:
		return fmt.Errorf("%w: RefreshAhead: %v is more than half of %v, the shortest TTL", ErrConfig, c.RefreshAhead, c.shortestTTL())
	case !utf8.ValidString(c.Name):
		return fmt.Errorf("%w: Name is not valid UTF-8", ErrConfig)
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
