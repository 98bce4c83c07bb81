package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func stale(b *fake, age time.Duration) { b.set(func(f *fake) { f.age = age }) }

func TestPolicy_BypassServesNothingAndSharesLoads(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	c := open(t, b, rows, config())
	get(t, c, "a")

	for _, age := range []time.Duration{bus.DefaultStaleAfter, time.Hour, -1} {
		stale(b, age)
		rows.set("a", 2) // nobody knows
		require.Equal(t, 2, get(t, c, "a"))
		_, ok := peek(c, "a")
		require.False(t, ok)
	}

	require.EqualValues(t, 3, c.Stats().Bypassed)
	rows.hold()
	one := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, rows.began)
	other := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	eventually(t, func() bool { return c.Stats().Joined == 1 }, "joined")
	rows.release <- struct{}{}
	require.Equal(t, receive(t, one), receive(t, other))
	rows.began = nil
	stale(b, 0)
	loads := rows.loads.Load()
	get(t, c, "a")
	require.Equal(t, loads, rows.loads.Load(), "what was loaded meanwhile is held, and the bus has told of all since")
}

func TestPolicy_ServeFor(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	cfg := config()
	cfg.WhenStale = cache.ServeFor(time.Minute)
	c := open(t, b, rows, cfg)
	require.Equal(t, time.Minute, b.extended)
	get(t, c, "a")
	_, err := c.Get(t.Context(), "b")
	require.ErrorIs(t, err, cache.ErrNotFound)
	rows.set("a", 2)
	rows.set("b", 2)
	stale(b, bus.DefaultStaleAfter+time.Minute-1)
	require.Equal(t, 1, get(t, c, "a"))
	_, err = c.Get(t.Context(), "b")
	require.ErrorIs(t, err, cache.ErrNotFound)
	require.EqualValues(t, 2, c.Stats().Stale)
	b.key(300, "a") // what comes is still applied
	require.Equal(t, 2, get(t, c, "a"))
	stale(b, bus.DefaultStaleAfter+time.Minute)
	require.Equal(t, 2, get(t, c, "b"))
	stale(b, -1)
	require.Equal(t, 2, get(t, c, "a"))
	require.EqualValues(t, 2, c.Stats().Stale)
}

func TestPolicy_Clear(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	rows.set("b", 1)
	cfg := config()
	cfg.WhenStale = cache.Clear()
	c := open(t, b, rows, cfg)
	get(t, c, "a")

	for range 2 {
		get(t, c, "b")
		stale(b, time.Hour)
		get(t, c, "b")
		get(t, c, "b")
		require.Zero(t, c.Stats().Entries)
		stale(b, 0)
		loads := rows.loads.Load()
		get(t, c, "a")
		require.Equal(t, loads+1, rows.loads.Load())
	}

	require.EqualValues(t, 2, c.Stats().Cleared)
}

func TestStaleOnError(t *testing.T) {
	t.Parallel()
	const window = 20 * time.Second
	for name, test := range map[string]struct {
		change func(b *fake, c *cache.Cache[string, int])
		served bool
	}{
		"expired":          {func(*fake, *cache.Cache[string, int]) { time.Sleep(65 * time.Second) }, true},
		"expired too long": {func(*fake, *cache.Cache[string, int]) { time.Sleep(81 * time.Second) }, false},
		"not fresh":        {func(b *fake, _ *cache.Cache[string, int]) { stale(b, bus.DefaultStaleAfter+window-1) }, true},
		"too long":         {func(b *fake, _ *cache.Cache[string, int]) { stale(b, bus.DefaultStaleAfter+window) }, false},
		"invalidated":      {func(b *fake, _ *cache.Cache[string, int]) { stale(b, time.Minute/10); b.key(300, "a") }, false},
		"tag": {func(b *fake, _ *cache.Cache[string, int]) {
			stale(b, time.Minute/10)
			b.key(300, cache.TagKey("x"))
		}, false},
		"all":              {func(b *fake, c *cache.Cache[string, int]) { _, _ = c.InvalidateAll(context.Background()) }, false},
		"new log":          {func(b *fake, _ *cache.Cache[string, int]) { stale(b, -1); b.reset(bus.ReasonEpoch) }, true},
		"new log, fresh":   {func(b *fake, _ *cache.Cache[string, int]) { b.reset(bus.ReasonEpoch) }, true},
		"two new logs":     {func(b *fake, _ *cache.Cache[string, int]) { b.reset(bus.ReasonEpoch); b.reset(bus.ReasonEpoch) }, true},
		"catch-up":         {func(b *fake, _ *cache.Cache[string, int]) { b.reset(bus.ReasonCatchUp) }, false},
		"log and catch-up": {func(b *fake, _ *cache.Cache[string, int]) { b.reset(bus.ReasonEpoch); b.reset(bus.ReasonPruned) }, false},
		"new log, long ago": {func(b *fake, _ *cache.Cache[string, int]) {
			stale(b, -1)
			b.reset(bus.ReasonEpoch)
			time.Sleep(bus.DefaultStaleAfter + window)
		}, false},
		"new log after the window": {func(b *fake, _ *cache.Cache[string, int]) {
			time.Sleep(bus.DefaultStaleAfter + window) // the last proof anybody saw is that old
			b.reset(bus.ReasonEpoch)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, broken := newFake(), errors.New("broken")
				var failing bool
				cfg := config()
				cfg.TTL, cfg.StaleOnError = time.Minute, window
				c := open(t, b, cache.LoaderFunc[string, int](func(context.Context, string) (cache.Loaded[int], error) {
					if failing {
						return cache.Loaded[int]{}, broken
					}
					return cache.Loaded[int]{Value: 1, Tags: []string{"x"}}, nil
				}), cfg)

				require.Equal(t, window, b.extended)
				get(t, c, "a")
				failing = true
				test.change(b, c)

				v, err := c.Get(t.Context(), "a")
				if test.served {
					require.NoError(t, err)
					require.Equal(t, 1, v)
					require.EqualValues(t, 1, c.Stats().Stale)
				} else {
					require.ErrorIs(t, err, broken)
				}

				_, err = c.GetFresh(t.Context(), "a")
				require.ErrorIs(t, err, broken, "fresh is fresh")
			})
		})
	}
}
