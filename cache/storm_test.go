package cache_test

import (
	"context"
	"errors"
	"fmt"
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

// gauge counts what runs at once.
type gauge struct{ running, most, total atomic.Int64 }

func (g *gauge) enter() (leave func()) {
	g.total.Add(1)
	n := g.running.Add(1)
	for {
		most := g.most.Load()
		if n <= most || g.most.CompareAndSwap(most, n) {
			return func() { g.running.Add(-1) }
		}
	}
}

// Readers of one key while it is invalidated a hundred times a second, in every way: at most two loads at once, and every
// reader gets what was there when it asked, or later.
func TestStorm_OneKeyInvalidatedAllTheTime(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]bus.Event{
		"key": {Keys: []string{"a"}},
		"tag": {Keys: []string{cache.TagKey("x")}},
		"all": {All: true},
	} {
		for mode, read := range map[string]func(*cache.Cache[string, int]) (int, error){
			"Get":      func(c *cache.Cache[string, int]) (int, error) { return c.Get(context.Background(), "a") },
			"GetFresh": func(c *cache.Cache[string, int]) (int, error) { return c.GetFresh(context.Background(), "a") },
			"GetMany": func(c *cache.Cache[string, int]) (int, error) {
				got, err := c.GetMany(context.Background(), []string{"a"})
				return got["a"], err
			},
		} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var loads gauge
					var version atomic.Int64
					b := newFake()
					c := open(t, b, cache.LoaderFunc[string, int](func(context.Context, string) (cache.Loaded[int], error) {
						defer loads.enter()()
						v := version.Load()
						time.Sleep(300 * time.Millisecond)
						return cache.Loaded[int]{Value: int(v), Tags: []string{"x"}}, nil
					}), config())

					ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
					defer stop()
					var wg sync.WaitGroup
					for i := range 200 {
						wg.Go(func() {
							time.Sleep(time.Duration(i) * time.Millisecond)
							for ctx.Err() == nil {
								asked := version.Load()
								v, err := read(c)
								if err != nil || v < int(asked) {
									t.Errorf("%d, %v: asked at %d", v, err, asked)
								}
								time.Sleep(time.Millisecond)
							}
						})
					}
					wg.Go(func() {
						for xid := uint64(200); ctx.Err() == nil; xid++ {
							version.Add(1)
							b.deliver(bus.Delivery{Event: e, XIDs: []uint64{xid}})
							time.Sleep(10 * time.Millisecond)
						}
					})
					wg.Wait()
					require.LessOrEqual(t, loads.most.Load(), int64(2))
				})
			})
		}
	}
}

// Five hundred readers who want a value from now: one load that has begun, one that begins, and one that all others share.
func TestStorm_FreshReadersShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loads gauge
		c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) {
			defer loads.enter()()
			time.Sleep(time.Second)
			return 1, nil
		}), config())

		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if _, err := c.GetFresh(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			})
		}

		wg.Wait()
		require.LessOrEqual(t, loads.most.Load(), int64(2))
		require.LessOrEqual(t, loads.total.Load(), int64(3))
	})
}

// Loads that read keys which are being read already, or wait for their turn, all in one GetMany: each key's parent is
// another listed key.
func TestStorm_NestedLoadsNeverWaitForEachOthersPermits(t *testing.T) {
	t.Parallel()
	for _, shape := range []string{"get", "many", "fresh"} {
		for _, concurrency := range []int{1, 2, 32} {
			t.Run(fmt.Sprintf("%s at most %d", shape, concurrency), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cfg := config()
					cfg.LoadConcurrency = concurrency
					b := newFake()
					var c *cache.Cache[string, int]
					c = open(t, b, cache.Func(func(ctx context.Context, key string) (int, error) {
						time.Sleep(time.Millisecond)
						n, err := strconv.Atoi(key)
						if err != nil || n == 0 {
							return 0, err
						}

						parent := strconv.Itoa(n - 1)
						switch shape {
						case "get":
							v, err := c.Get(ctx, parent)
							return v + 1, err
						case "fresh":
							if n%7 == 0 {
								_, err := c.GetFresh(ctx, parent)
								return n, err
							}
							v, err := c.Get(ctx, parent)
							return v + 1, err
						}

						v, err := c.GetMany(ctx, []string{parent, strconv.Itoa(n / 2)})
						return v[parent] + 1, err
					}), cfg)

					keys := make([]string, 110)
					for i := range keys {
						keys[i] = strconv.Itoa(len(keys) - 1 - i)
					}

					got, err := c.GetMany(t.Context(), keys)
					require.NoError(t, err)
					require.Len(t, got, len(keys))

					for key, v := range got {
						require.Equal(t, key, strconv.Itoa(v))
					}
				})
			})
		}
	}
}

// Two caches whose loads read each other's keys.
func TestStorm_CachesThatReadEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.LoadConcurrency = 1
		var left, right *cache.Cache[string, int]

		descend := func(other **cache.Cache[string, int]) cache.Loader[string, int] {
			return cache.Func(func(ctx context.Context, key string) (int, error) {
				time.Sleep(time.Millisecond)
				n, err := strconv.Atoi(key)
				if err != nil || n == 0 {
					return 0, err
				}
				v, err := (*other).Get(ctx, strconv.Itoa(n-1))
				return v + 1, err
			})
		}
		left = open(t, newFake(), descend(&right), cfg)
		right = open(t, newFake(), descend(&left), cfg)
		var wg sync.WaitGroup
		for i := range 40 {
			for _, c := range []*cache.Cache[string, int]{left, right} {
				wg.Go(func() {
					if v, err := c.Get(t.Context(), strconv.Itoa(i)); err != nil || v != i {
						t.Errorf("%d: %d, %v", i, v, err)
					}
				})
			}
		}

		wg.Wait()
	})
}

// Requests that have less time than the query takes: the load goes on without them, and the next request finds its value.
func TestAbandoned_LoadsFillTheCache(t *testing.T) {
	t.Parallel()
	for _, cancel := range []bool{false, true} {
		t.Run(fmt.Sprintf("CancelAbandoned %v", cancel), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var loads gauge
				cfg := config()
				cfg.CancelAbandoned = cancel
				c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
					defer loads.enter()()
					select {
					case <-time.After(300 * time.Millisecond):
						return 1, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}), cfg)

				answered := 0
				for range 20 {
					ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
					if _, err := c.Get(ctx, "a"); err == nil {
						answered++
					}
					stop()
					time.Sleep(100 * time.Millisecond)
				}

				if cancel {
					require.Zero(t, answered)
					require.EqualValues(t, 20, loads.total.Load())
					require.EqualValues(t, 20, c.Stats().LoadsCanceled)
					return
				}

				require.Equal(t, 19, answered)
				require.EqualValues(t, 1, loads.total.Load())
			})
		})
	}
}

// A load that has not begun is not worth beginning when nobody waits for it any more.
func TestAbandoned_BeforeItBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loads gauge
		cfg := config()
		cfg.LoadConcurrency = 1
		c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) {
			defer loads.enter()()
			time.Sleep(time.Second)
			return 1, nil
		}), cfg)
		first := ask(func() (int, error) { return c.Get(context.Background(), "a") })
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()

		_, err := c.GetMany(ctx, []string{"b", "c"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, answer{1, nil}, <-first)
		synctest.Wait()
		require.EqualValues(t, 1, loads.total.Load())
		require.Zero(t, c.Stats().Loading)
	})
}

func TestAbandoned_AContextThatHasEndedStartsNothing(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1)
	c := open(t, newFake(), rows, config())
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := c.Get(ended, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.GetFresh(ended, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.GetMany(ended, []string{"a", "b"})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, rows.loads.Load())

	get(t, c, "a")
	v, err := c.Get(ended, "a")
	require.NoError(t, err, "what is held costs nothing")
	require.Equal(t, 1, v)
}

// GetMany says which keys have failed, and returns the others.
func TestGetMany_SaysWhichKeysFailed(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	c := open(t, newFake(), cache.Func(func(_ context.Context, key int) (int, error) {
		switch {
		case key%3 == 0:
			return 0, cache.ErrNotFound
		case key%2 == 1:
			return 0, odd
		}
		return key, nil
	}), nil)
	got, err := c.GetMany(t.Context(), []int{0, 1, 2, 3, 4, 5})
	require.Equal(t, map[int]int{2: 2, 4: 4}, got)
	require.ErrorIs(t, err, odd)
	var failed *cache.KeysError[int]
	require.ErrorAs(t, err, &failed)
	require.Equal(t, map[int]error{1: odd, 5: odd}, failed.Errors)
	require.Equal(t, "odd (and 1 keys more)", err.Error())
}

// Loads that all read one other key, while that key is invalidated all the time: the readers within loads share as others do.
func TestStorm_LoadsThatReadOneKey(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]bus.Event{
		"key": {Keys: []string{"shared"}},
		"tag": {Keys: []string{cache.TagKey("x")}},
		"all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var shared gauge
				var version atomic.Int64
				cfg := config()
				cfg.LoadConcurrency = 8
				var c *cache.Cache[string, int]
				b := newFake()
				c = open(t, b, cache.LoaderFunc[string, int](func(ctx context.Context, key string) (cache.Loaded[int], error) {
					if key == "shared" {
						defer shared.enter()()
						v := version.Load()
						time.Sleep(300 * time.Millisecond)
						return cache.Loaded[int]{Value: int(v), Tags: []string{"x"}}, nil
					}
					time.Sleep(time.Millisecond)
					v, err := c.Get(ctx, "shared")
					return cache.Loaded[int]{Value: v}, err
				}), cfg)

				ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
				defer stop()
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						for ctx.Err() == nil {
							asked := version.Load()
							v, err := c.GetFresh(context.Background(), strconv.Itoa(i))
							if err != nil || v < int(asked) {
								t.Errorf("%d, %v: asked at %d", v, err, asked)
							}
							time.Sleep(7 * time.Millisecond)
						}
					})
				}
				wg.Go(func() {
					for xid := uint64(200); ctx.Err() == nil; xid++ {
						version.Add(1)
						b.deliver(bus.Delivery{Event: e, XIDs: []uint64{xid}})
						time.Sleep(10 * time.Millisecond)
					}
				})
				wg.Wait()
				require.LessOrEqual(t, shared.most.Load(), int64(2))
			})
		})
	}
}

// A load that invalidates its own key and reads it again waits for no load that waits for it.
func TestStorm_ALoadThatInvalidatesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		depth := 0
		var c *cache.Cache[string, int]
		c = open(t, newFake(), cache.Func(func(ctx context.Context, key string) (int, error) {
			if depth++; depth == 10 {
				return depth, nil
			}
			if _, err := c.Invalidate(ctx, key); err != nil {
				return 0, err
			}
			return c.Get(ctx, key)
		}), config())

		begun := time.Now()
		v, err := c.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 10, v)
		require.Zero(t, time.Since(begun))
	})
}
