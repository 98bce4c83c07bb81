package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// TestHoldings: what people who look for a key are told, in each state that a key can be in.
func TestHoldings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewLocal()
		wait := make(chan struct{})
		c, err := cache.New(b, "users", cache.Func(func(_ context.Context, key int) (string, error) {
			switch key {
			case 404:
				return "", cache.ErrNotFound
			case 7:
				<-wait
			}
			return "value", nil
		}), &cache.Config[int, string]{TTL: time.Minute, Jitter: -1, NegativeTTL: time.Minute})
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		one := func(text string) cache.Holding {
			found := c.Holdings(text)
			require.Len(t, found, 1, text)
			return found[0]
		}

		require.Empty(t, c.Holdings("1"))
		require.Empty(t, c.Holdings("no number"))
		_, err = c.Get(t.Context(), 1)
		require.NoError(t, err)
		_, err = c.Get(t.Context(), 404)
		require.ErrorIs(t, err, cache.ErrNotFound)
		time.Sleep(20 * time.Second)

		// Reads do not change when it was stored.
		for range 5 {
			_, err = c.Get(t.Context(), 1)
			require.NoError(t, err)
		}
		before := c.Stats()
		require.Equal(t, cache.Holding{Served: true, Age: 20 * time.Second, Expires: 40 * time.Second}, one("1"))
		require.Equal(t, one("1"), one("1.00"), "as a column may spell it")
		require.Equal(t, cache.Holding{Served: true, Absent: true, Age: 20 * time.Second, Expires: 40 * time.Second}, one("404"))
		require.Equal(t, before.Hits, c.Stats().Hits, "looking is not reading")
		require.Equal(t, before.Misses, c.Stats().Misses)

		go func() { _, _ = c.Get(t.Context(), 7) }()
		synctest.Wait()
		require.Equal(t, cache.Holding{Loading: true}, one("7"))
		close(wait)
		synctest.Wait()

		_, err = c.Invalidate(t.Context(), 1)
		require.NoError(t, err)
		require.Empty(t, c.Holdings("1"))
		time.Sleep(time.Minute)
		require.False(t, one("404").Served, "it has expired")
		require.Zero(t, one("404").Expires)
	})
}
