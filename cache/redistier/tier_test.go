package redistier_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			p := prefix()
			cachetest.TierContract(t, func() cache.Tier { return setup(t, redistier.Config{PoolSize: size, KeyPrefix: p}) })
		})
	}
}

// A user's own client is used and never closed.
func TestFromClient(t *testing.T) {
	t.Parallel()
	options, err := rueidis.ParseURL(shared.Server(t).URL())
	require.NoError(t, err)
	client, err := rueidis.NewClient(options)
	require.NoError(t, err)
	defer client.Close()
	p := prefix()
	cachetest.TierContract(t, func() cache.Tier {
		tier, err := redistier.FromClient(client, &redistier.Config{KeyPrefix: p})
		require.NoError(t, err)
		return tier
	})
	require.NoError(t, client.Do(t.Context(), client.B().Ping().Build()).Error())

	_, err = redistier.FromClient(nil, nil)
	require.ErrorIs(t, err, redistier.ErrConfig)
}

// What is in Redis is a plain string under the prefix, with the time to live.
func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	tier := setup(t, redistier.Config{KeyPrefix: "plain:"})
	require.NoError(t, tier.Ping(t.Context()))
	require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))
	server := shared.Server(t)
	kind, err := server.Do(t.Context(), "TYPE", "plain:k")
	require.NoError(t, err)
	require.Equal(t, "+string", kind)
	ttl, err := server.Do(t.Context(), "PTTL", "plain:k")
	require.NoError(t, err)
	ms, err := strconv.Atoi(strings.TrimPrefix(ttl, ":"))
	require.NoError(t, err)
	require.InDelta(t, time.Hour.Milliseconds(), ms, float64(patience.Milliseconds()))

	// A key of another kind under our prefix is an error, and no miss.
	_, err = server.Do(t.Context(), "LPUSH", "plain:list", "x")
	require.NoError(t, err)
	_, err = tier.Get(t.Context(), "list")
	require.ErrorContains(t, err, "WRONGTYPE")
	require.NotErrorIs(t, err, cache.ErrTierMiss)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tier := setup(t, redistier.Config{MaxValueSize: 10})
	require.NoError(t, tier.Set(t.Context(), "k", make([]byte, 10), time.Hour))
	require.ErrorIs(t, tier.Set(t.Context(), "k", make([]byte, 11), time.Hour), redistier.ErrTooLarge)
	require.ErrorIs(t, tier.Set(t.Context(), "k", nil, 0), redistier.ErrTTL)
	value, err := tier.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Len(t, value, 10)
}

// A server that is out of memory answers errors; reads go on.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, nil)
	tier := open(t, redistier.Config{URL: server.URL()})
	require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))
	_, err := server.Do(t.Context(), "CONFIG", "SET", "maxmemory", "1")
	require.NoError(t, err)
	require.ErrorContains(t, tier.Set(t.Context(), "k2", []byte("v"), time.Hour), "OOM")
	value, err := tier.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "v", string(value))
}

// PoolSize is exactly the number of connections, whatever the number of callers.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, nil)
	tier := open(t, redistier.Config{URL: server.URL(), PoolSize: 3})
	require.NoError(t, tier.Ping(t.Context()))

	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 20 {
				_, _ = tier.Get(t.Context(), strconv.Itoa(i*100+j))
			}
		})
	}

	all.Wait()
	info, err := server.Lines(t.Context(), "INFO", "clients")
	require.NoError(t, err)
	require.Contains(t, info, "connected_clients:4", "three, and the one that asks")
}

func TestClose(t *testing.T) {
	t.Parallel()
	never := open(t, redistier.Config{URL: "redis://127.0.0.1:1"})
	never.Close()
	require.ErrorIs(t, never.Ping(t.Context()), redistier.ErrClosed)

	tier := setup(t, redistier.Config{PoolSize: 4})
	var all sync.WaitGroup
	for i := range 16 { // in the middle of everything
		all.Go(func() {
			for {
				if err := tier.Set(t.Context(), strconv.Itoa(i), []byte("v"), time.Hour); err != nil {
					return
				}
			}
		})
	}
	require.NoError(t, tier.Ping(t.Context()))
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(tier.Close)
	}
	closers.Wait()
	all.Wait()
	_, err := tier.Get(context.Background(), "0")
	require.ErrorIs(t, err, redistier.ErrClosed)
}
