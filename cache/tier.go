package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Tier is a second-level cache that all pods share, such as Redis. It is never trusted: each value contains the
// snapshot of its read, and the cache decides whether to use it. A tier may lose, keep or reorder values. Its methods
// are called concurrently and must return when ctx ends. An error counts as a miss, and after several in a row the
// cache does not use the tier for a second. A call that has not returned a TierTimeout after ctx has ended is abandoned,
// and while several such calls have not returned, the cache does not use the tier.
type Tier interface {
	// Get returns the value of a key, or ErrTierMiss. It must not change or reuse the value after it has returned.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores a value for ttl, and may overwrite one. It must not keep a reference to value after it has returned.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete removes keys. Missing keys are not an error.
	Delete(ctx context.Context, keys ...string) error
}

// BulkTier is a [Tier] that reads and writes many keys at once. GetMany then uses it. Both methods are called with a
// bounded number of keys, and with one deadline for all of them.
type BulkTier interface {
	Tier
	// GetMany returns the values of keys, in the order of keys; nil is a miss. Values that it returns together with
	// an error are used.
	GetMany(ctx context.Context, keys []string) ([][]byte, error)
	// SetMany stores values. If it fails, it may have stored some.
	SetMany(ctx context.Context, items []TierItem) error
}

// TierItem is a value for [BulkTier].
type TierItem struct {
	Key   string
	Value []byte
	TTL   time.Duration
}

const (
	tierFailures = 5           // in a row, and the tier is left alone
	tierPause    = time.Second // for so long
	tierBatch    = 1000        // keys in one call of a BulkTier
	maxTierKey   = 200         // longer keys are hashed
)

// tier is a Tier with what keeps its troubles from the readers.
type tier[K comparable, V any] struct {
	Tier
	bulk     BulkTier // nil: it is none
	names    *tierNames
	proof    keyProof[K]
	absent   bool // absent keys are stored, too
	timeout  time.Duration
	codec    Codec[V]
	stats    *counters
	breaker  *gobreaker.CircuitBreaker[[][]byte]
	deletes  deletes
	writes   writes
	working  *workers
	apart    apart
	panicked func(callback string, err error)
}

func newTier[K comparable, V any](c *Cache[K, V]) (*tier[K, V], error) {
	proof, err := newKeyProof(c.names)
	if err != nil {
		return nil, err
	}

	var codec string
	if err = protect("Codec", func() { codec = codecName(c.cfg.Codec) }); err != nil {
		return nil, fmt.Errorf("%w: Codec: its name: %w", ErrConfig, err)
	}

	version := c.cfg.TierVersion
	if version == "" {
		version = shapeOf(reflect.TypeFor[V]())
	}

	t := &tier[K, V]{
		Tier: c.cfg.Tier, names: newTierNames(c.topic, codec, version), proof: proof, absent: c.cfg.TierAbsent,
		timeout: c.cfg.TierTimeout, codec: c.cfg.Codec, stats: &c.stats, working: &c.working,
		apart: apart{working: &c.working}, panicked: c.notePanic,
	}
	t.bulk, _ = c.cfg.Tier.(BulkTier)

	t.breaker = gobreaker.NewCircuitBreaker[[][]byte](gobreaker.Settings{
		Name:        c.topic,
		Timeout:     tierPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tierFailures },
		// Both are called under the breaker's lock, so they see what tierError returns.
		IsExcluded:   func(err error) bool { return err == context.Canceled || err == ErrTierRefuses }, //nolint:errorlint // as above
		IsSuccessful: func(err error) bool { return err == nil || err == ErrTierMiss },                 //nolint:errorlint // as above
	})
	return t, nil
}

// call calls the tier, unless it is left alone, in a goroutine of its own and within the deadline. It returns what the tier
// has returned, also with an error. A panic is an error like any other.
func (t *tier[K, V]) call(ctx context.Context, f func(context.Context) ([][]byte, error)) ([][]byte, error) {
	if t.apart.overdue.Load() >= tierFailures {
		return nil, gobreaker.ErrOpenState
	}

	return t.breaker.Execute(func() ([][]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		values, err := callApart(ctx, &t.apart, t.timeout, "Tier", func() ([][]byte, error) {
			values, err := f(ctx)
			return values, tierError(err)
		})
		if isPanic(err) {
			t.panicked("Tier", err)
		}
		return values, err
	})
}

var errTier = errors.New("cache: tier failed")

// tierError returns an error that means the same and has no methods of the tier's.
func tierError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTierMiss):
		return ErrTierMiss
	case errors.Is(err, ErrTierRefuses):
		return ErrTierRefuses
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errTier
}

// tierFound is what a tier holds of a key.
type tierFound[V any] struct {
	envelope *envelope // nil: nothing that counts
	value    V
}

// get looks one key up, and returns what lies there; nil for a miss.
func (t *tier[K, V]) get(ctx context.Context, name, epoch string) []byte {
	values, err := t.call(ctx, func(ctx context.Context) ([][]byte, error) {
		data, err := t.Get(ctx, t.names.key(epoch, name))
		return [][]byte{data}, err
	})

	switch {
	case errors.Is(err, ErrTierMiss):
		t.stats.tierMisses.Add(1)
	case err != nil:
		t.countFailure(err, 1)
	case values[0] == nil:
		return []byte{} // it is no envelope
	default:
		return values[0]
	}
	return nil
}

// getMany looks many keys up, in as few calls as there can be, and within one deadline, and returns what lies there; nil for
// a miss. Of a Tier that is no BulkTier it asks for one after the other until the deadline has passed.
func (t *tier[K, V]) getMany(ctx context.Context, names []string, epoch string) [][]byte {
	if t.bulk == nil {
		values := make([][]byte, len(names))
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		for i := 0; i < len(names) && ctx.Err() == nil; i++ {
			values[i] = t.get(ctx, names[i], epoch)
		}
		return values
	}

	tierKeys := make([]string, len(names))
	for i, name := range names {
		tierKeys[i] = t.names.key(epoch, name)
	}
	values, err := t.call(ctx, func(ctx context.Context) ([][]byte, error) { return t.bulk.GetMany(ctx, tierKeys) })
	if err != nil {
		t.countFailure(err, 1)
	}
	values = values[:min(len(values), len(names))]
	values = append(values, make([][]byte, len(names)-len(values))...)
	for _, data := range values {
		if data == nil && err == nil {
			t.stats.tierMisses.Add(1)
		}
	}
	return values
}

// countFailure counts a call that failed, or was not made.
func (t *tier[K, V]) countFailure(err error, n int64) {
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		t.stats.tierSkipped.Add(n)
	} else {
		t.stats.tierErrors.Add(n)
	}
}

// open reads what was found under a key. Whatever is not of this key, this program and this log, or has expired, is a miss.
func (t *tier[K, V]) open(key K, name, epoch string, data []byte, now time.Time) (f tierFound[V]) {
	e, err := parseEnvelope(data)
	proof, proofErr := t.proofOf(key)
	if err != nil || proofErr != nil || e.topic != t.names.topic || e.name != name || e.proof != proof ||
		e.program != t.names.program || epoch != "" && e.epoch != epoch || e.absent && !t.absent || e.expires <= now.UnixMilli() {
		t.stats.tierMisses.Add(1)
		return f
	}

	if !e.absent {
		if f.value, err = t.decode(e.value); err != nil {
			t.stats.codecErrors.Add(1)
			return tierFound[V]{}
		}
	}
	f.envelope = e
	return f
}

func (t *tier[K, V]) proofOf(key K) (string, error) {
	if t.proof == nil {
		return "", nil
	}
	return t.proof(key)
}

func (t *tier[K, V]) decode(data []byte) (v V, err error) {
	if panicked := protect("Codec", func() { v, err = t.codec.Unmarshal(data) }); panicked != nil {
		t.panicked("Codec", panicked)
		err = panicked
	}
	return v, err
}

func (t *tier[K, V]) encode(v V) (data []byte, err error) {
	if panicked := protect("Codec", func() { data, err = t.codec.Marshal(v) }); panicked != nil {
		t.panicked("Codec", panicked)
		err = panicked
	}
	return data, err
}

// sealed is what goes to the tier.
type sealed[K comparable, V any] struct {
	*envelope
	key       K
	tierEpoch string
	value     V
	ttl       time.Duration
}

// items returns what the tier is to store of values.
func (t *tier[K, V]) items(values []sealed[K, V]) []TierItem {
	items := make([]TierItem, 0, len(values))
	for _, v := range values {
		var err error
		if v.proof, err = t.proofOf(v.key); err == nil && !v.absent {
			v.envelope.value, err = t.encode(v.value)
		}
		if err != nil {
			t.stats.codecErrors.Add(1)
			continue
		}
		items = append(items, TierItem{Key: t.names.key(v.tierEpoch, v.name), Value: v.bytes(), TTL: v.ttl})
	}
	return items
}
