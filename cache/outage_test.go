package cache_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// A thousand readers of a loader that fails: few loads, until the pause is over, the key is invalidated, or somebody wants
// it fresh.
func TestOutage_FailingLoadsPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broken := newFake(), errors.New("broken")
		var loads atomic.Int64
		var works atomic.Bool
		c := open(t, b, cache.Func(func(context.Context, string) (int, error) {
			loads.Add(1)
			if works.Load() {
				return 1, nil
			}
			return 0, broken
		}), config())
		fail := func() {
			t.Helper()
			_, err := c.Get(t.Context(), "a")
			require.ErrorIs(t, err, broken)
			_, err = c.GetMany(t.Context(), []string{"a"})
			require.ErrorIs(t, err, broken)
		}
		for range 1000 {
			fail()
		}
		require.EqualValues(t, 1, loads.Load())
		for range 1000 { // ten seconds: 50 ms, 100, 200, … 5 s
			time.Sleep(10 * time.Millisecond)
			fail()
		}
		require.LessOrEqual(t, loads.Load(), int64(9))
		require.Greater(t, loads.Load(), int64(6))

		before := loads.Load()
		_, err := c.GetFresh(t.Context(), "a")
		require.ErrorIs(t, err, broken)
		require.Equal(t, before+1, loads.Load())
		works.Store(true)
		fail()
		b.key(200, "a")
		require.Equal(t, 1, get(t, c, "a"))
	})
}

// A database that hangs: readers get what is held after a moment, all later ones at once, and the load goes on.
func TestOutage_HangingLoadsServeWhatIsHeld(t *testing.T) {
	t.Parallel()
	for _, abandon := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var hangs atomic.Bool
			var version atomic.Int64
			gate := make(chan struct{})
			cfg := config()
			cfg.TTL, cfg.StaleOnError, cfg.SoftTimeout, cfg.CancelAbandoned = time.Minute, time.Hour, 200*time.Millisecond, abandon
			c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
				if hangs.Load() {
					select {
					case <-gate:
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}
				return int(version.Load()), nil
			}), cfg)
			version.Store(1)
			get(t, c, "a")
			time.Sleep(2 * time.Minute)
			hangs.Store(true)
			version.Store(2)

			begun := time.Now()
			require.Equal(t, 1, get(t, c, "a"))
			require.Equal(t, cfg.SoftTimeout, time.Since(begun))
			for range 100 {
				require.Equal(t, 1, get(t, c, "a"))
			}
			many, err := c.GetMany(t.Context(), []string{"a"})
			require.NoError(t, err)
			require.Equal(t, map[string]int{"a": 1}, many)
			require.Equal(t, cfg.SoftTimeout, time.Since(begun), "they did not wait")
			require.Equal(t, 1, c.Stats().Loading)

			hangs.Store(false)
			close(gate)
			synctest.Wait()
			require.Equal(t, 2, get(t, c, "a"))
			require.EqualValues(t, 2, c.Stats().Loads)
		})
	}
}

// A reader whose deadline comes before SoftTimeout, and a key of which nothing is held.
func TestOutage_HangingLoadsAndDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		cfg := config()
		cfg.TTL, cfg.StaleOnError, cfg.LoadTimeout = time.Minute, time.Hour, 5*time.Second
		c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
			if hangs.Load() {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 1, nil
		}), cfg)
		get(t, c, "a")
		time.Sleep(2 * time.Minute)
		hangs.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		v, err := c.Get(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, 1, v)

		begun := time.Now()
		_, err = c.Get(t.Context(), "unknown")
		require.ErrorIs(t, err, cache.ErrLoadTimeout)
		require.Equal(t, cfg.LoadTimeout, time.Since(begun))
		_, err = c.GetFresh(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrLoadTimeout, "it wants nothing old")
	})
}

// Shortly before the end of its TTL a value is loaded once, in the background, however many readers there are.
func TestRefreshAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loads, version atomic.Int64
		var broken atomic.Bool
		cfg := config()
		cfg.TTL, cfg.RefreshAhead = time.Minute, 10*time.Second
		b := newFake()
		c := open(t, b, cache.LoaderFunc[string, int](func(_ context.Context, key string) (cache.Loaded[int], error) {
			loads.Add(1)
			time.Sleep(time.Second)
			l := cache.Loaded[int]{Value: int(version.Load())}
			if key == "brief" {
				l.TTL = 15 * time.Second
			}
			if broken.Load() {
				return l, errors.New("broken")
			}
			return l, nil
		}), cfg)
		readers := func() (values map[int]int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			values = make(map[int]int)
			for range 100 {
				wg.Go(func() {
					begun := time.Now()
					v, err := c.Get(t.Context(), "a")
					if err != nil || time.Since(begun) > 0 {
						t.Errorf("%v after %v", err, time.Since(begun))
					}
					mu.Lock()
					defer mu.Unlock()
					values[v]++
				})
			}
			wg.Wait()
			return values
		}
		get(t, c, "a")
		version.Store(1)
		time.Sleep(49 * time.Second)
		require.Equal(t, map[int]int{0: 100}, readers())
		synctest.Wait()
		require.EqualValues(t, 1, loads.Load(), "it is not due")
		time.Sleep(2 * time.Second)
		require.Equal(t, map[int]int{0: 100}, readers(), "nobody waits")
		time.Sleep(2 * time.Second)
		require.Equal(t, map[int]int{1: 100}, readers())
		require.EqualValues(t, 2, loads.Load())
		require.EqualValues(t, 1, c.Stats().Refreshes)

		broken.Store(true)
		time.Sleep(55 * time.Second)
		for range 3 {
			require.Equal(t, map[int]int{1: 100}, readers(), "a failure is nobody's")
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, c.Stats().Refreshes, int64(5))

		broken.Store(false)
		b.key(200, "a")
		before := loads.Load()
		require.Equal(t, 1, get(t, c, "a"))
		require.Equal(t, before+1, loads.Load())

		get(t, c, "brief")
		time.Sleep(6 * time.Second)
		before = loads.Load()
		get(t, c, "brief")
		time.Sleep(2 * time.Second)
		require.Equal(t, before, loads.Load(), "its TTL is too short to be refreshed ahead")
	})
}

// What is invalidated while a refresh is under way is not replaced by what that has read before.
func TestRefreshAhead_IsDetachedLikeAnyLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rows := newFake(), newTable()
		rows.set("a", 1, "x")
		cfg := config()
		cfg.TTL, cfg.RefreshAhead = time.Minute, 10*time.Second
		c := open(t, b, rows, cfg)
		for _, e := range []bus.Event{{Keys: []string{"a"}}, {Keys: []string{cache.TagKey("x")}}, {All: true}} {
			rows.set("a", 1, "x")
			b.deliver(bus.Delivery{Event: bus.Event{All: true}, XIDs: []uint64{200}})
			get(t, c, "a")
			time.Sleep(55 * time.Second)
			rows.hold()
			get(t, c, "a")
			<-rows.began
			rows.set("a", 2, "x")
			b.deliver(bus.Delivery{Event: e, XIDs: []uint64{201}})
			rows.release <- struct{}{}
			synctest.Wait()
			rows.began = nil
			require.Equal(t, 2, get(t, c, "a"))
		}
	})
}
