package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Tier is a second level behind the cache, shared by all pods, such as Redis. It is never trusted: each value says from
// when it is, and the cache decides. A tier may lose, keep or reorder whatever it likes. Methods are called from many
// goroutines and must end when ctx does; an error is a miss, and after several in a row the tier is left alone for a
// second.
type Tier interface {
	// Get is the value of a key, or ErrTierMiss.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores a value for a time; it may overwrite. The value is not the tier's to keep after Set has returned.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete removes keys; missing ones are no error.
	Delete(ctx context.Context, keys ...string) error
}

const (
	tierFailures = 5           // in a row, and the tier is left alone
	tierPause    = time.Second // for so long
	maxTierKey   = 200         // longer keys are hashed
)

// tier is a Tier with what keeps its troubles from the readers.
type tier[V any] struct {
	Tier
	topic   string
	timeout time.Duration
	codec   Codec[V]
	stats   *counters
	breaker *gobreaker.CircuitBreaker[[]byte]
	deletes deletes
	working *workers
}

func newTier[K comparable, V any](c *Cache[K, V]) *tier[V] {
	t := &tier[V]{
		Tier: c.cfg.Tier, topic: c.topic, timeout: c.cfg.TierTimeout, codec: c.cfg.Codec, stats: &c.stats, working: &c.working,
	}
	t.breaker = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:        c.topic,
		Timeout:     tierPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tierFailures },
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, ErrTierRefuses)
		},
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, ErrTierMiss)
		},
	})
	return t
}

// key is a key's name in the tier.
func (t *tier[V]) key(name string) string {
	if len(name) > maxTierKey {
		sum := sha256.Sum256([]byte(name))
		name = "~" + hex.EncodeToString(sum[:]) // no short name begins like this: see keyPrefix
	}
	return t.topic + ":" + name
}

// call calls the tier, unless it is left alone, within the deadline. A panic is an error like any other.
func (t *tier[V]) call(ctx context.Context, f func(context.Context) ([]byte, error)) ([]byte, error) {
	return t.breaker.Execute(func() (data []byte, err error) {
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("cache: tier panicked: %v", v)
			}
		}()
		return f(ctx)
	})
}

// get is what the tier holds of a key, if that is ours and has not expired.
func (t *tier[V]) get(ctx context.Context, name string) (*envelope, V, bool) {
	var none V
	data, err := t.call(ctx, func(ctx context.Context) ([]byte, error) { return t.Get(ctx, t.key(name)) })
	switch {
	case errors.Is(err, ErrTierMiss):
		t.stats.tierMisses.Add(1)
		return nil, none, false
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		t.stats.tierSkipped.Add(1)
		return nil, none, false
	case err != nil:
		t.stats.tierErrors.Add(1)
		return nil, none, false
	}
	e, err := parseEnvelope(data)
	if err != nil || e.topic != t.topic || e.name != name || e.expires <= time.Now().UnixMilli() {
		t.stats.tierMisses.Add(1)
		return nil, none, false
	}
	v, err := t.decode(e.value)
	if err != nil {
		t.stats.codecErrors.Add(1)
		return nil, none, false
	}
	return e, v, true
}

func (t *tier[V]) decode(data []byte) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cache: codec panicked: %v", p)
		}
	}()
	return t.codec.Unmarshal(data)
}

func (t *tier[V]) encode(v V) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cache: codec panicked: %v", p)
		}
	}()
	return t.codec.Marshal(v)
}

// set stores a value.
func (t *tier[V]) set(ctx context.Context, e *envelope, v V, ttl time.Duration) {
	var err error
	if e.value, err = t.encode(v); err != nil {
		t.stats.codecErrors.Add(1)
		return
	}
	_, err = t.call(ctx, func(ctx context.Context) ([]byte, error) {
		return nil, t.Set(ctx, t.key(e.name), e.bytes(), ttl)
	})
	switch {
	case err == nil:
		t.stats.tierSets.Add(1)
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		t.stats.tierSkipped.Add(1)
	default:
		t.stats.tierErrors.Add(1)
	}
}

// fromTier looks in the tier for what a batch is to read, and returns how many calls have not ended by that. They are
// recorded, so an invalidation that comes meanwhile counts against what the tier had.
func (c *Cache[K, V]) fromTier(l *loadBatch[K, V]) (rest int) {
	if c.tier == nil || l.noTier || !l.trusted {
		return len(l.calls)
	}
	for _, f := range l.calls {
		e, v, ok := c.tier.get(l.shared, f.name)
		if !ok || !c.finish(f, outcome[V]{loaded: Loaded[V]{Value: v, TTL: c.remaining(e), Tags: e.tags}, tiered: e}) {
			rest++
		}
	}
	return rest
}

// remaining is how long a tier's value may still be kept: a hit does not prolong its life.
func (c *Cache[K, V]) remaining(e *envelope) time.Duration {
	return min(max(time.Until(time.UnixMilli(e.expires)), time.Millisecond), c.cfg.TTL)
}

// toTier stores what a load has read. Whatever was invalidated since it began, the envelope says that it is from before.
func (c *Cache[K, V]) toTier(l *loadBatch[K, V], f *call[K, V], o outcome[V]) {
	if c.tier == nil || o.err != nil {
		return
	}
	if c.weak.LabelLate {
		time.Sleep(labelLate)
	}
	at, extras, ok := c.label(f, &o)
	if !ok {
		return
	}
	ttl := c.cfg.TTL
	if o.loaded.TTL > 0 {
		ttl = o.loaded.TTL
	}
	ttl = min(ttl, maxTierTTL)
	e := &envelope{
		topic: c.topic, name: f.name, epoch: f.place.epoch, at: at, extras: extras, tags: o.loaded.Tags,
		expires: time.Now().Add(ttl).UnixMilli(),
	}
	c.tier.set(context.WithoutCancel(l.shared), e, o.loaded.Value, ttl)
}

// maxTierTTL bounds what lies in a tier if the cache's TTL is Forever.
const maxTierTTL = 30 * 24 * time.Hour
