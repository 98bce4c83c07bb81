package cache_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

// countingTier counts the calls of a tier, and can hold writes.
type countingTier struct {
	*cachetest.MemoryTier
	mu                             sync.Mutex
	gets, getManys, sets, setManys int
	hold                           chan struct{} // writes wait until it is closed; nil: they do not
}

func newCountingTier() *countingTier { return &countingTier{MemoryTier: cachetest.NewMemoryTier()} }

func (t *countingTier) count(n *int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
}

func (t *countingTier) Get(ctx context.Context, key string) ([]byte, error) {
	t.count(&t.gets)
	return t.MemoryTier.Get(ctx, key)
}

func (t *countingTier) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	t.count(&t.getManys)
	return t.MemoryTier.GetMany(ctx, keys)
}

func (t *countingTier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	t.count(&t.sets)
	if t.hold != nil {
		<-t.hold
	}
	return t.MemoryTier.Set(ctx, key, value, ttl)
}

func (t *countingTier) SetMany(ctx context.Context, items []cache.TierItem) error {
	t.count(&t.setManys)
	if t.hold != nil {
		<-t.hold
	}
	return t.MemoryTier.SetMany(ctx, items)
}

// single hides what a tier can do at once.
type single struct{ cache.Tier }

func intKeys(n int) []int {
	keys := make([]int, n)
	for i := range keys {
		keys[i] = i
	}
	return keys
}

// GetMany asks the tier once for all, whatever the loader, and a tier that cannot do that within one deadline.
func TestTier_ManyAtOnce(t *testing.T) {
	t.Parallel()
	batch := cache.BatchFunc[int, string](func(_ context.Context, keys []int) (map[int]cache.Loaded[string], error) {
		found := map[int]cache.Loaded[string]{}
		for _, k := range keys {
			found[k] = cache.Loaded[string]{Value: strconv.Itoa(k)}
		}
		return found, nil
	})
	each := cache.Func(func(_ context.Context, k int) (string, error) { return strconv.Itoa(k), nil })
	for name, load := range map[string]cache.Loader[int, string]{"batch": batch, "each": each} {
		for _, bulk := range []bool{true, false} {
			t.Run(name+"/bulk="+strconv.FormatBool(bulk), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					counting := newCountingTier()
					var tier cache.Tier = counting
					if !bulk {
						tier = single{counting}
					}
					cfg := &cache.Config[int, string]{Tier: tier, Logger: quiet, LoadConcurrency: 1000}
					keys := intKeys(1000)
					read := func() cache.Stats {
						c := open(t, newFake(), load, cfg)
						values, err := c.GetMany(t.Context(), keys)
						require.NoError(t, err)
						require.Len(t, values, len(keys))
						for k, v := range values {
							require.Equal(t, strconv.Itoa(k), v)
						}
						synctest.Wait()
						return c.Stats()
					}

					require.EqualValues(t, 1000, read().TierSets)
					if bulk {
						require.Equal(t, 1, counting.getManys)
						require.Zero(t, counting.gets)
						require.True(t, name == "each" || counting.setManys == 1 && counting.sets == 0)
					}
					s := read()
					require.EqualValues(t, 1000, s.TierHits)
					require.Zero(t, s.Loads)

					// With 12 ms for each call, what the tier is too slow for is loaded.
					counting.Delay(12 * time.Millisecond)
					begun := time.Now()
					s = read()
					require.Less(t, time.Since(begun), 20*cache.DefaultTierTimeout)
					if bulk {
						require.EqualValues(t, 1000, s.TierHits)
					} else {
						require.Positive(t, s.TierHits)
						require.Positive(t, s.Loads)
					}
				})
			})
		}
	}
}

// Readers have their values before these are written back.
func TestTier_ManyAreDeliveredBeforeTheyAreWrittenBack(t *testing.T) {
	t.Parallel()
	tier := newCountingTier()
	tier.hold = make(chan struct{})
	c := open(t, newFake(), cache.BatchFunc[int, int](func(_ context.Context, keys []int) (map[int]cache.Loaded[int], error) {
		found := map[int]cache.Loaded[int]{}
		for _, k := range keys {
			found[k] = cache.Loaded[int]{Value: k}
		}
		return found, nil
	}), &cache.Config[int, int]{Tier: tier, Logger: quiet})
	values, err := c.GetMany(t.Context(), intKeys(100))
	require.NoError(t, err)
	require.Len(t, values, 100)
	require.Zero(t, tier.Len())
	close(tier.hold)
	eventually(t, func() bool { return tier.Len() == 100 }, "written back")
}

// Loads that end one by one, without a BatchLoader, share the calls that write what they have read.
func TestTier_SingleLoadsAreWrittenBackTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier := newCountingTier()
		tier.hold = make(chan struct{})
		c := open(t, newFake(), cache.Func(func(_ context.Context, k int) (int, error) { return k, nil }),
			&cache.Config[int, int]{Tier: tier, Logger: quiet, TierTimeout: time.Minute, LoadConcurrency: 1000})
		values, err := c.GetMany(t.Context(), intKeys(500))
		require.NoError(t, err)
		require.Len(t, values, 500)

		synctest.Wait()
		close(tier.hold)
		synctest.Wait()
		require.Equal(t, 500, tier.Len())
		require.EqualValues(t, 500, c.Stats().TierSets)
		require.Equal(t, []int{1, 1}, []int{tier.sets, tier.setManys}, "calls")
	})
}

// No more values wait to be written than there is room for, and none for too long.
func TestTier_WritesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	const n, room = 6000, 4096
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tier := newCountingTier()
			tier.hold = make(chan struct{})
			c := open(t, newFake(), cache.Func(func(_ context.Context, k int) (int, error) { return k, nil }),
				&cache.Config[int, int]{Tier: tier, Logger: quiet, TierTimeout: time.Second, LoadConcurrency: n, Size: 2 * n})
			_, err := c.GetMany(t.Context(), intKeys(n))
			require.NoError(t, err)

			synctest.Wait()
			require.EqualValues(t, n-room-1, c.Stats().TierSkipped, "there was no room for them")
			if late {
				time.Sleep(21 * time.Second)
			}
			close(tier.hold)
			synctest.Wait()
			s := c.Stats()
			require.EqualValues(t, n, s.TierSets+s.TierSkipped+s.TierErrors)
			require.Equal(t, late, s.TierSets == 0)
		})
	}
}

// exitTier ends the goroutine of whoever calls one of its methods, or panics.
type exitTier struct {
	*cachetest.MemoryTier
	method string
	end    func()
}

func (t exitTier) in(method string) {
	if t.method == method {
		t.end()
	}
}

func (t exitTier) Get(ctx context.Context, key string) ([]byte, error) {
	t.in("Get")
	return t.MemoryTier.Get(ctx, key)
}

func (t exitTier) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	t.in("GetMany")
	return t.MemoryTier.GetMany(ctx, keys)
}

func (t exitTier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	t.in("Set")
	return t.MemoryTier.Set(ctx, key, value, ttl)
}

func (t exitTier) SetMany(ctx context.Context, items []cache.TierItem) error {
	t.in("SetMany")
	return t.MemoryTier.SetMany(ctx, items)
}

func (t exitTier) Delete(ctx context.Context, keys ...string) error {
	t.in("Delete")
	return t.MemoryTier.Delete(ctx, keys...)
}

// exitCodec does the same.
type exitCodec struct {
	cache.Codec[int]
	method string
	end    func()
}

func (c exitCodec) Marshal(v int) ([]byte, error) {
	if c.method == "Marshal" {
		c.end()
	}
	return c.Codec.Marshal(v)
}

func (c exitCodec) Unmarshal(data []byte) (int, error) {
	if c.method == "Unmarshal" {
		c.end()
	}
	return c.Codec.Unmarshal(data)
}

// Whatever a method of a tier or a codec does, readers get their values, and Close returns.
func TestTier_HostileMethods(t *testing.T) {
	t.Parallel()

	loads := map[string]cache.Loader[int, int]{
		"each": cache.Func(func(_ context.Context, k int) (int, error) { return k, nil }),
		"batch": cache.BatchFunc[int, int](func(_ context.Context, keys []int) (map[int]cache.Loaded[int], error) {
			found := map[int]cache.Loaded[int]{}
			for _, k := range keys {
				found[k] = cache.Loaded[int]{Value: k}
			}
			return found, nil
		}),
	}
	for end, does := range map[string]func(){"panic": func() { panic("tier") }, "exit": runtime.Goexit} {
		for _, method := range []string{"Get", "GetMany", "Set", "SetMany", "Delete", "Marshal", "Unmarshal"} {
			for name, load := range loads {
				t.Run(end+"/"+method+"/"+name, func(t *testing.T) {
					t.Parallel()
					tier := exitTier{cachetest.NewMemoryTier(), method, does}
					cfg := &cache.Config[int, int]{
						Tier: tier, Codec: exitCodec{cache.JSON[int](), method, does}, Logger: quiet, LoadConcurrency: 4,
					}
					for range 2 { // the second finds what the first has stored
						b := newFake()
						c := open(t, b, load, cfg)
						for _, k := range intKeys(3) {
							v, err := c.Get(t.Context(), k)
							require.NoError(t, err)
							require.Equal(t, k, v)
						}

						values, err := c.GetMany(t.Context(), intKeys(300))
						require.NoError(t, err)
						require.Len(t, values, 300)
						b.key(200, "1", "2")
						values, err = c.GetMany(t.Context(), intKeys(300))
						require.NoError(t, err)
						require.Len(t, values, 300)
						require.NoError(t, c.Close())
					}
				})
			}
		}
	}
}

// A tier that answers too little, or fails after a part, only costs loads.
func TestTier_ManyInPart(t *testing.T) {
	t.Parallel()
	full := cachetest.NewMemoryTier()
	load := cache.Func(func(_ context.Context, k int) (int, error) { return k, nil })
	first := open(t, newFake(), load, &cache.Config[int, int]{Tier: full, Logger: quiet})
	_, err := first.GetMany(t.Context(), intKeys(10))
	require.NoError(t, err)
	eventually(t, func() bool { return full.Len() == 10 }, "written back")

	for name, part := range map[string]func([][]byte) ([][]byte, error){
		"less":    func(v [][]byte) ([][]byte, error) { return v[:3], nil },
		"nothing": func([][]byte) ([][]byte, error) { return nil, nil },
		"more":    func(v [][]byte) ([][]byte, error) { return append(v, v...), nil },
		"error":   func(v [][]byte) ([][]byte, error) { return v[:3], context.DeadlineExceeded },
		"panic":   func([][]byte) ([][]byte, error) { panic("tier") },
		"shifted": func(v [][]byte) ([][]byte, error) { return append(v[1:], v[0]), nil },
	} {
		c := open(t, newFake(), load, &cache.Config[int, int]{Tier: partTier{full, part}, Logger: quiet})
		values, err := c.GetMany(t.Context(), intKeys(10))
		require.NoError(t, err, name)
		require.Len(t, values, 10, name)
		for k, v := range values {
			require.Equal(t, k, v, name)
		}
	}
}

type partTier struct {
	*cachetest.MemoryTier
	part func([][]byte) ([][]byte, error)
}

func (p partTier) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := p.MemoryTier.GetMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	return p.part(values)
}
