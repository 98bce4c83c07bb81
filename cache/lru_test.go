package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func TestLRU_LeastRecentlyUsedGoesFirst(t *testing.T) {
	t.Parallel()
	rows := newTable()
	for i := range 5 {
		rows.set(strconv.Itoa(i), i)
	}

	cfg := config()
	cfg.Size, cfg.Eviction = 3, cache.EvictLRU
	c := open(t, newFake(), rows, cfg)
	for _, k := range []string{"0", "1", "2", "0", "3"} {
		get(t, c, k)
	}

	_, ok := peek(c, "1")
	require.False(t, ok)
	_, ok = peek(c, "0")
	require.True(t, ok)
	require.Equal(t, 3, c.Stats().Entries)
	require.EqualValues(t, 1, c.Stats().EvictedCapacity)
}

func TestLRU_LargeCacheKeepsToItsSize(t *testing.T) {
	t.Parallel()
	cfg := &cache.Config[int, int]{Size: 5000, Logger: quiet}
	c := open(t, newFake(), cache.Func(func(_ context.Context, k int) (int, error) { return k, nil }), cfg)
	for i := range 20_000 {
		v, err := c.Get(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, i, v)
	}
	require.LessOrEqual(t, c.Stats().Entries, 5000)
	require.Greater(t, c.Stats().Entries, 4500)
}

func TestLRU_Cost(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.MaxCost, cfg.Cost = 100, func(_ string, v int) int64 { return int64(v) }
	rows := newTable()
	for _, v := range []int{40, 50, 60, 101} {
		rows.set(strconv.Itoa(v), v)
	}

	cfg.Size = 10
	c := open(t, newFake(), rows, cfg)
	get(t, c, "40")
	get(t, c, "50")
	require.EqualValues(t, 90, c.Stats().Cost)
	get(t, c, "60")
	require.EqualValues(t, 60, c.Stats().Cost, "both had to go")
	get(t, c, "101")
	_, ok := peek(c, "101")
	require.False(t, ok, "it never fits")
	_, ok = peek(c, "60")
	require.True(t, ok)
	_, err := c.Invalidate(t.Context(), "60")
	require.NoError(t, err)
	require.Zero(t, c.Stats().Cost)
}

func TestLRU_TTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ttls := map[string]time.Duration{"own": time.Second, "longer": time.Hour, "never": cache.Forever, "none": -1}
		cfg := config()
		cfg.TTL = time.Minute
		c := open(t, newFake(), cache.LoaderFunc[string, int](func(_ context.Context, k string) (cache.Loaded[int], error) {
			return cache.Loaded[int]{Value: 1, TTL: ttls[k]}, nil
		}), cfg)
		keys := []string{"default", "own", "longer", "never", "none"}
		held := func() (held []string) {
			for _, k := range keys {
				if _, ok := peek(c, k); ok {
					held = append(held, k)
				}
			}
			return held
		}

		for _, k := range keys {
			get(t, c, k)
		}

		require.Equal(t, []string{"default", "own", "longer", "never"}, held())
		time.Sleep(time.Second - time.Nanosecond)
		require.Contains(t, held(), "own")
		time.Sleep(time.Nanosecond)
		require.Equal(t, []string{"default", "longer", "never"}, held())
		time.Sleep(59 * time.Second)
		require.Equal(t, []string{"longer", "never"}, held())
		time.Sleep(100 * 24 * time.Hour)
		require.Equal(t, []string{"never"}, held())
		get(t, c, "default")
		require.EqualValues(t, 1, c.Stats().EvictedExpired)
	})
}

func TestLRU_JitterOnlyShortens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := &cache.Config[int, int]{TTL: time.Minute, Jitter: 0.5, Logger: quiet}
		c := open(t, newFake(), cache.Func(func(context.Context, int) (int, error) { return 1, nil }), cfg)
		for i := range 200 {
			_, err := c.Get(t.Context(), i)
			require.NoError(t, err)
		}

		left := func() (n int) {
			for i := range 200 {
				if _, ok := peek(c, i); ok {
					n++
				}
			}
			return n
		}

		time.Sleep(30*time.Second - 1)
		require.Equal(t, 200, left())
		time.Sleep(15 * time.Second)
		require.InDelta(t, 100, left(), 60)
		time.Sleep(15 * time.Second)
		require.LessOrEqual(t, left(), 1)
	})
}

func TestLRU_AbsentKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := newTable()
		cfg := config()
		cfg.NegativeTTL, cfg.NegativeSize, cfg.Size = time.Second, 2, 10
		b := newFake()
		c := open(t, b, rows, cfg)
		absent := func(key string) {
			_, err := c.Get(t.Context(), key)
			require.ErrorIs(t, err, cache.ErrNotFound)
		}
		absent("a")
		absent("a")
		require.EqualValues(t, 1, rows.loads.Load())
		require.Equal(t, 1, c.Stats().Absent)
		_, ok := peek(c, "a")
		require.False(t, ok)
		rows.set("a", 1)
		absent("a")
		b.key(300, "a")
		require.Equal(t, 1, get(t, c, "a"))
		for i := range 10 { // they do not push out what exists
			absent("absent" + strconv.Itoa(i))
		}
		require.Equal(t, 2, c.Stats().Absent)
		_, ok = peek(c, "a")
		require.True(t, ok)
		loads := rows.loads.Load()
		time.Sleep(time.Second)
		absent("absent9")
		require.Equal(t, loads+1, rows.loads.Load())

		// A key that comes into being, or goes, is known once.
		b.key(301, "a")
		rows.remove("a")
		absent("a")
		require.Zero(t, c.Stats().Entries)
	})
}

func TestLRU_AbsentKeysAreForgottenIfAsked(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.NoNegative = true
	rows := newTable()
	c := open(t, newFake(), rows, cfg)
	for range 2 {
		_, err := c.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrNotFound)
	}
	require.EqualValues(t, 2, rows.loads.Load())
}

// An absent key keeps what the loader said, and may have tags.
func TestLRU_AbsentKeyWithTags(t *testing.T) {
	t.Parallel()
	b, loads := newFake(), 0
	c := open(t, b, cache.LoaderFunc[string, int](func(context.Context, string) (cache.Loaded[int], error) {
		loads++
		return cache.Loaded[int]{Tags: []string{"x"}}, fmt.Errorf("no such item: %w", cache.ErrNotFound)
	}), config())
	for range 2 {
		_, err := c.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.EqualError(t, err, "no such item: cache: not found")
	}

	require.Equal(t, 1, loads)
	_, err := c.InvalidateTags(t.Context(), "x")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "a")
	require.ErrorIs(t, err, cache.ErrNotFound)
	require.Equal(t, 2, loads)
}

func TestClone(t *testing.T) {
	t.Parallel()
	cfg := &cache.Config[string, []int]{Clone: slices.Clone[[]int], Logger: quiet}
	c := open(t, newFake(), cache.Func(func(context.Context, string) ([]int, error) { return []int{1, 2}, nil }), cfg)
	for range 3 {
		v, err := c.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, v)
		v[0] = 7
		many, err := c.GetMany(t.Context(), []string{"a"})
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, many["a"])
		many["a"][0] = 7
		v, ok := peek(c, "a")
		require.True(t, ok)
		require.Equal(t, []int{1, 2}, v)
		v[0] = 7
	}
}

// MaxCost is one bound for all shards: how many there are depends on the number of processors, and what is kept does not.
func TestLRU_CostIsOfAllShards(t *testing.T) {
	t.Parallel()
	for _, how := range []cache.Eviction{cache.EvictAdaptive, cache.EvictLRU} {
		const most = 10_000
		cfg := &cache.Config[int, int]{
			Size: 100_000, Eviction: how, Logger: quiet, MaxCost: most, Cost: func(_, v int) int64 { return int64(v) },
		}
		c := open(t, newFake(), cache.Func(func(_ context.Context, k int) (int, error) { return k % (most + 2), nil }), cfg)
		for _, k := range []int{most, most - 1, most / 2} {
			_, err := c.Get(t.Context(), k)
			require.NoError(t, err)
			_, ok := peek(c, k)
			require.True(t, ok, "%v: %d fits", how, k)
			require.LessOrEqual(t, c.Stats().Cost, int64(most))
		}
		require.Equal(t, 1, c.Stats().Entries)

		v, err := c.Get(t.Context(), most+1)
		require.NoError(t, err)
		require.Equal(t, most+1, v)
		_, ok := peek(c, most+1)
		require.False(t, ok)
		require.EqualValues(t, 1, c.Stats().RefusedFills["cost"])
		require.Equal(t, 1, c.Stats().Entries, "nothing had to go for it")

		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range 500 {
					if _, err := c.Get(t.Context(), (i*37+w*11)%300); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		require.LessOrEqual(t, c.Stats().Cost, int64(most))
		require.Greater(t, c.Stats().Cost, int64(most*8/10))
		_, err = c.InvalidateAll(t.Context())
		require.NoError(t, err)
		_, err = c.Get(t.Context(), most)
		require.NoError(t, err)
		require.EqualValues(t, most, c.Stats().Cost)
	}
}

// Hits take no lock; still, what a reader gets is never older than the last invalidation that was over before the read
// began, whether of the key, a tag, all, or by a reset, while entries come and go for want of room.
func TestHit_NeverOlderThanAnInvalidation(t *testing.T) {
	t.Parallel()
	for _, how := range []cache.Eviction{cache.EvictAdaptive, cache.EvictLRU} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			const keys, rounds = 40, 400
			b := newFake()
			var versions, floors [keys]atomic.Int64
			c := open(t, b, cache.LoaderFunc[int, int64](func(_ context.Context, k int) (cache.Loaded[int64], error) {
				return cache.Loaded[int64]{Value: versions[k].Load(), Tags: []string{"all", strconv.Itoa(k % 4)}}, nil
			}), &cache.Config[int, int64]{Size: 25, Eviction: how, Logger: quiet})

			ctx, stop := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			for w := range 4 {
				readers.Go(func() {
					for i := w; ctx.Err() == nil; i++ {
						k := i % keys
						if w%2 == 0 {
							k %= 5 // these are hits
						}
						floor := floors[k].Load()
						v, err := c.Get(context.Background(), k)
						if err != nil || v < floor {
							t.Errorf("key %d: %d, %v; was at least %d", k, v, err, floor)
							return
						}
						if p, ok := peek(c, k); ok && p < floor {
							t.Errorf("key %d: peeked %d; was at least %d", k, p, floor)
							return
						}
					}
				})
			}
			for i := 0; i < rounds || c.Stats().Hits < 1000 && !t.Failed(); i++ {
				k := i * 7 % keys
				changed := []int{k}
				if i%4 != 0 {
					for other := k % 4; other < keys; other += 4 {
						changed = append(changed, other)
					}
				}
				for _, k := range changed {
					versions[k].Add(1)
				}
				switch i % 4 {
				case 0:
					b.key(uint64(1000+i), strconv.Itoa(k))
				case 1:
					b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{cache.TagKey(strconv.Itoa(k % 4))}}, XIDs: []uint64{uint64(1000 + i)}})
				case 2:
					b.deliver(bus.Delivery{Event: bus.Event{All: true}, XIDs: []uint64{uint64(1000 + i)}})
				case 3:
					b.reset(bus.ReasonCatchUp)
				}
				for _, k := range changed {
					floors[k].Store(versions[k].Load())
				}
			}
			stop()
			readers.Wait()
			require.LessOrEqual(t, c.Stats().Entries, 25)
		})
	}
}

// Many readers, writers, resets at once: for the race detector, and no reader may go back in time.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	const keys = 20
	b := bus.NewLocal()
	var mu sync.Mutex
	versions := make([]int, keys)
	cfg := &cache.Config[int, int]{Size: 10, Logger: quiet, Tier: newTier()}
	c := open(t, b, cache.LoaderFunc[int, int](func(_ context.Context, k int) (cache.Loaded[int], error) {
		mu.Lock()
		defer mu.Unlock()
		if versions[k]%7 == 6 {
			return cache.Loaded[int]{Tags: []string{"all"}}, cache.ErrNotFound
		}
		return cache.Loaded[int]{Value: versions[k], Tags: []string{"all"}}, nil
	}), cfg)

	floors := make([]int, keys) // what was invalidated and is over
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				k := (i*7 + w) % keys
				mu.Lock()
				floor := floors[k]
				mu.Unlock()

				v, err := c.Get(t.Context(), k)
				if err == nil && v < floor || err != nil && !errors.Is(err, cache.ErrNotFound) {
					t.Errorf("key %d: %d, %v; was at least %d", k, v, err, floor)
				}
			}
		})
	}

	wg.Go(func() {
		for i := range 300 {
			k := i % keys
			mu.Lock()
			versions[k]++
			v := versions[k]
			mu.Unlock()

			var err error
			switch i % 5 {
			case 0:
				_, err = c.InvalidateTags(t.Context(), "all")
			case 1:
				_, err = c.InvalidateAll(t.Context())
			default:
				_, err = c.Invalidate(t.Context(), k)
			}

			if err != nil {
				t.Error(err)
			}

			mu.Lock()
			floors[k] = v
			mu.Unlock()
			_ = c.Stats()
			_, _ = c.GetMany(t.Context(), []int{1, 2, 3, k})
		}
	})

	wg.Wait()
}
