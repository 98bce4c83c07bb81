package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// memoryTier is a Tier in a map, with hooks.
type memoryTier struct {
	mu      sync.Mutex
	data    map[string][]byte
	ttls    map[string]time.Duration
	deleted []string
	calls   int
	before  func(ctx context.Context, op string) error
}

func newTier() *memoryTier {
	return &memoryTier{data: map[string][]byte{}, ttls: map[string]time.Duration{}}
}

func (m *memoryTier) enter(ctx context.Context, op string) error {
	m.mu.Lock()
	m.calls++
	before := m.before
	m.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, op)
}

func (m *memoryTier) Get(ctx context.Context, key string) ([]byte, error) {
	if err := m.enter(ctx, "get"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.data[key]
	if !ok {
		return nil, cache.ErrTierMiss
	}
	return slices.Clone(v), nil
}

func (m *memoryTier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := m.enter(ctx, "set"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[key], m.ttls[key] = slices.Clone(value), ttl
	return nil
}

func (m *memoryTier) Delete(ctx context.Context, keys ...string) error {
	if err := m.enter(ctx, "delete"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.data, k)
		m.deleted = append(m.deleted, k)
	}
	return nil
}

func (m *memoryTier) keys() (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.data {
		keys = append(keys, k)
	}
	return keys
}

// plain are the keys without the digests of database and program: "item:a".
func (m *memoryTier) plain() (keys []string) {
	for _, k := range m.keys() {
		parts := strings.SplitN(k, ":", 4)
		keys = append(keys, parts[1]+":"+parts[3])
	}
	return keys
}

// key is the only key of all.
func (m *memoryTier) key(t *testing.T) string {
	t.Helper()
	keys := m.keys()
	require.Len(t, keys, 1)
	return keys[0]
}

func tiered(tier cache.Tier) *cache.Config[string, int] {
	cfg := config()
	cfg.Tier = tier
	return cfg
}

// twoPods share a tier; each is told of events on its own.
func twoPods(t *testing.T, rows cache.Loader[string, int], tier cache.Tier) (a, b *fake, ca, cb *cache.Cache[string, int]) {
	t.Helper()
	a, b = newFake(), newFake()
	return a, b, open(t, a, rows, tiered(tier)), open(t, b, rows, tiered(tier))
}

func stored(t testing.TB, c *cache.Cache[string, int], n int64) {
	t.Helper()
	eventually(t, func() bool { return c.Stats().TierSets >= n }, "stored in the tier")
}

func TestTier_SecondPodNeedsNoLoad(t *testing.T) {
	t.Parallel()
	tier, rows := newTier(), newTable()
	rows.set("a", 1, "x")
	_, b, ca, cb := twoPods(t, rows, tier)
	require.Equal(t, 1, get(t, ca, "a"))
	stored(t, ca, 1)
	require.Equal(t, []string{"item:a"}, tier.plain())
	require.Equal(t, 1, get(t, cb, "a"))
	require.Equal(t, 1, get(t, cb, "a"))
	require.EqualValues(t, 1, rows.loads.Load())
	require.EqualValues(t, 1, cb.Stats().TierHits)

	// The tags came along.
	rows.set("a", 2, "x")
	b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{cache.TagKey("x")}}, XIDs: []uint64{300}})
	require.Equal(t, 2, get(t, cb, "a"))
}

func TestTier_RefusesWhatIsFromBeforeAnInvalidation(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *fake){
		"key":   func(b *fake) { b.key(300, "a") },
		"tag":   func(b *fake) { b.key(300, cache.TagKey("x")) },
		"topic": func(b *fake) { b.deliver(bus.Delivery{Event: bus.Event{All: true}, XIDs: []uint64{300}}) },
		"unknown transaction": func(b *fake) {
			b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{"a"}}})
			b.set(func(f *fake) { f.at = position.Snapshot{Xmin: 400, Xmax: 400} })
		},
		"unproven": func(b *fake) {
			b.set(func(f *fake) { f.proven = time.Time{} })
			b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{"a"}}})
		},
		"uncertain": func(b *fake) {
			b.set(func(f *fake) { f.proven = time.Time{} })
			b.deliver(uncertain("a"))
		},
		"another epoch": func(b *fake) { b.set(func(f *fake) { f.epoch = "e2" }) },
		"reset": func(b *fake) {
			b.set(func(f *fake) { f.at = position.Snapshot{Xmin: 400, Xmax: 400} })
			b.reset(bus.ReasonCatchUp)
		},
		"not proven since a reset": func(b *fake) {
			b.set(func(f *fake) { f.proven = time.Time{} })
			b.reset(bus.ReasonCatchUp)
		},
		"stale": func(b *fake) { b.set(func(f *fake) { f.age = time.Hour }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tier, rows := newTier(), newTable()
			rows.set("a", 1, "x")
			_, b, ca, cb := twoPods(t, rows, tier)
			get(t, ca, "a")
			stored(t, ca, 1)
			rows.set("a", 2, "x")
			change(b)
			require.Equal(t, 2, get(t, cb, "a"))
			require.Zero(t, cb.Stats().TierHits)
		})
	}
}

// The value is invalidated while the tier is being asked.
func TestTier_InvalidatedDuringTheGet(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]string{"key": "a", "tag": cache.TagKey("x")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tier, rows := newTier(), newTable()
			rows.set("a", 1, "x")
			_, b, ca, cb := twoPods(t, rows, tier)
			get(t, ca, "a")
			stored(t, ca, 1)
			rows.set("a", 2, "x")

			// No snapshot could tell: the transaction is below every xmin. Only that the load was recorded helps.
			tier.before = func(_ context.Context, op string) error {
				if op == "get" {
					b.key(50, wire)
				}
				return nil
			}

			require.Equal(t, 2, get(t, cb, "a"))
			v, ok := peek(cb, "a")
			require.True(t, ok, "the database was read after the invalidation")
			require.Equal(t, 2, v)
			require.EqualValues(t, 1, cb.Stats().TierRefused)
		})
	}
}

// A load that was invalidated is not set; and one whose set is late says that it is from before.
func TestTier_LateSet(t *testing.T) {
	t.Parallel()
	tier, rows := newTier(), newTable()
	rows.set("a", 1)
	a, b, ca, cb := twoPods(t, rows, tier)
	gate, setting := make(chan struct{}), make(chan struct{})
	tier.before = func(_ context.Context, op string) error {
		if op == "set" {
			close(setting)
			<-gate
		}
		return nil
	}
	go func() { _, _ = ca.Get(context.Background(), "a") }()
	receive(t, setting)
	tier.mu.Lock()
	tier.before = nil
	tier.mu.Unlock()
	rows.set("a", 2)
	a.key(300, "a")
	b.key(300, "a")
	close(gate)
	stored(t, ca, 1)
	require.Equal(t, 2, get(t, ca, "a"))
	require.EqualValues(t, 1, ca.Stats().TierRefused)

	// What is set now says that it has seen 300, although no position has passed it yet.
	stored(t, ca, 2)
	require.Equal(t, 2, get(t, cb, "a"))
	require.EqualValues(t, 1, cb.Stats().TierHits)
	c := newFake()
	cc := open(t, c, rows, tiered(tier))
	c.key(300, "a")
	require.Equal(t, 2, get(t, cc, "a"))
	require.EqualValues(t, 1, cc.Stats().TierHits)

	rows.hold()
	late := ask(func() (int, error) { return ca.GetFresh(context.Background(), "b") })
	_ = receive(t, rows.began)
	rows.set("b", 1)
	a.key(302, "b")
	rows.release <- struct{}{}
	require.ErrorIs(t, receive(t, late).err, cache.ErrNotFound)
	require.NotContains(t, tier.plain(), "item:b")
}

func TestTier_KeepsItsTroublesToItself(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(context.Context, string) error{
		"error":  func(context.Context, string) error { return errors.New("down") },
		"panics": func(context.Context, string) error { panic("down") },
		"slow":   func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tier, rows := newTier(), newTable()
				tier.before = before
				keys := strings.Split("abcdefghijklmnopqrstuvwxyz", "")
				for _, k := range keys {
					rows.set(k, 1)
				}
				c := open(t, newFake(), rows, tiered(tier))
				for _, k := range keys {
					require.Equal(t, 1, get(t, c, k))
					_, err := c.Invalidate(t.Context(), k)
					require.NoError(t, err)
					synctest.Wait()
				}
				s := c.Stats()
				require.Positive(t, s.TierErrors)
				require.Positive(t, s.TierSkipped, "it is left alone after some")
				require.Positive(t, s.TierDeletesDropped)
				require.Less(t, tier.calls, len(keys))

				tier.mu.Lock()
				tier.before = nil
				tier.mu.Unlock()
				time.Sleep(2 * time.Second)
				get(t, c, "a")
				synctest.Wait()
				require.Equal(t, []string{"item:a"}, tier.plain())
			})
		})
	}
}

func TestTier_RefusesValuesAndIsNotLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier, rows := newTier(), newTable()
		tier.before = func(_ context.Context, op string) error {
			if op == "set" {
				return fmt.Errorf("too large: %w", cache.ErrTierRefuses)
			}
			return nil
		}
		c := open(t, newFake(), rows, tiered(tier))
		keys := strings.Split("abcdefghijklmnopqrstuvwxyz", "")
		for _, k := range keys {
			rows.set(k, 1)
			require.Equal(t, 1, get(t, c, k))
			synctest.Wait()
		}

		s := c.Stats()
		require.EqualValues(t, len(keys), s.TierErrors)
		require.Zero(t, s.TierSkipped)
		require.EqualValues(t, len(keys), s.TierMisses, "each was asked for")
	})
}

func TestTier_ForeignValuesAreMisses(t *testing.T) {
	t.Parallel()
	tier, rows := newTier(), newTable()
	rows.set("a", 1)
	rows.set("b", 2)
	a := newFake()
	ca := open(t, a, rows, tiered(tier))
	get(t, ca, "a")
	stored(t, ca, 1)
	at := tier.key(t)
	good, atB := tier.data[at], strings.TrimSuffix(at, "a")+"b"
	for name, value := range map[string][]byte{
		"empty": {}, "another version": append([]byte{99}, good[1:]...), "of another key": good,
		"cut": good[:len(good)-len(`1`)], "cut short": good[:5], "no codec's": append(slices.Clone(good), '!'),
	} {
		tier.data[atB] = value
		c := open(t, newFake(), rows, tiered(tier))
		require.Equal(t, 2, get(t, c, "b"), name)
		stored(t, c, 1)
	}

	other, err := cache.New(newFake(), "other", rows, tiered(tier))
	require.NoError(t, err)
	defer other.Close()

	tier.data[strings.Replace(at, ":item:", ":other:", 1)] = good
	rows.set("a", 7)
	require.Equal(t, 7, get(t, other, "a"), "of another topic")
	stored(t, other, 1)
}

func TestTier_DeletesAndHashesKeys(t *testing.T) {
	t.Parallel()
	tier, rows := newTier(), newTable()
	long := strings.Repeat("k", 1000)
	rows.set(long, 1)
	rows.set("~a", 2)
	c := open(t, newFake(), rows, tiered(tier))
	get(t, c, long)
	get(t, c, "~a")
	stored(t, c, 2)

	for _, k := range tier.keys() {
		require.Less(t, len(k), 100)
	}

	_, err := c.Invalidate(t.Context(), long, "~a")
	require.NoError(t, err)
	eventually(t, func() bool { return len(tier.keys()) == 0 }, "deleted")
	eventually(t, func() bool { return c.Stats().TierDeletes >= 2 }, "counted")
}

func TestTier_AHitDoesNotProlongTheValuesLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier, rows := newTier(), newTable()
		rows.set("a", 1)
		cfg := tiered(tier)
		cfg.TTL = time.Minute
		ca, cb := open(t, newFake(), rows, cfg), open(t, newFake(), rows, cfg)
		get(t, ca, "a")
		synctest.Wait()
		require.Equal(t, time.Minute, tier.ttls[tier.key(t)])
		time.Sleep(40 * time.Second)
		get(t, cb, "a")
		require.EqualValues(t, 1, rows.loads.Load())
		time.Sleep(30 * time.Second)
		_, ok := peek(cb, "a")
		require.False(t, ok)
		get(t, cb, "a")
		require.EqualValues(t, 2, rows.loads.Load())
		synctest.Wait()
	})
}

func TestTier_AbsentKeysAreNotSet(t *testing.T) {
	t.Parallel()
	tier, rows := newTier(), newTable()
	c := open(t, newFake(), rows, tiered(tier))
	_, err := c.Get(t.Context(), "a")
	require.ErrorIs(t, err, cache.ErrNotFound)
	require.NoError(t, c.Close())
	require.Empty(t, tier.keys())
}

// brokenCodec fails, one way or another.
type brokenCodec struct{ panics bool }

func (b brokenCodec) Marshal(int) ([]byte, error) {
	if b.panics {
		panic("no")
	}
	return nil, errors.New("no")
}
func (b brokenCodec) Unmarshal([]byte) (int, error) { return 0, errors.New("no") }

func TestTier_ValueThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		tier, rows := newTier(), newTable()
		rows.set("a", 1)
		cfg := tiered(tier)
		cfg.Codec = brokenCodec{panics}
		c := open(t, newFake(), rows, cfg)
		require.Equal(t, 1, get(t, c, "a"))
		require.Equal(t, 1, get(t, c, "a"))
		eventually(t, func() bool { return c.Stats().CodecErrors == 1 }, "counted")
		require.EqualValues(t, 1, rows.loads.Load())
		require.Empty(t, tier.keys())
	}
}
