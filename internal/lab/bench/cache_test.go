package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// TestCacheCommands runs the measurements of caches with next to no data, like TestCommands.
func TestCacheCommands(t *testing.T) {
	t.Parallel()
	t.Run("hit", func(t *testing.T) {
		pgtest.RequireBinaries(t)
		r, err := measureHit(t.Context(), hitPlan{Rounds: 2, Length: 5 * time.Millisecond, Entries: 100, Readers: []int{1, 2, 8}, Scraped: 1})
		require.NoError(t, err)
		requireResults(t, r, "hit.allocs", "hit.ratio.raw", "hit.ratio.raw_clock", "hit.ratio.expirable.2", "hit.ratio.expirable.8",
			"hit.ratio.golanglru.8", "hit.ratio.otter.1", "hit.ratio.otter.2", "hit.ratio.otter.8", "hit.ratio.sturdyc.8",
			"hit.ratio.theine.8", "hit.ratio.ristretto.8", "hit.metrics_overhead", "hit.hot.ratio.otter")
		require.Len(t, r.rows, 1+3*9+2+2, "a header, readers by caches, scraped or not, and one key")
		require.Zero(t, r.Results[0].Value, "a hit allocates nothing")
	})

	t.Run("ratio", func(t *testing.T) {
		r, err := measureRatio(t.Context(), ratioPlan{Rounds: 2, Reads: 5000, Sizes: []int{300, 100}})
		require.NoError(t, err)

		var names []string
		for _, trace := range traces {
			names = append(names, "ratio."+trace.name+".vs_otter")
		}

		requireResults(t, r, names...)
		require.Len(t, r.rows, 1+2*len(traces), "a header, and sizes by traces")
	})

	t.Run("fill", func(t *testing.T) {
		r, err := measureFill(t.Context(), fillPlan{Rounds: 2, Misses: 200, Size: 100, Readers: []int{1, 2}})
		require.NoError(t, err)
		requireResults(t, r, "fill.ratio.singleflight.1", "fill.ratio.singleflight.2", "fill.ratio.otter.1", "fill.ratio.otter.2",
			"fill.ratio.sturdyc.1", "fill.ratio.sturdyc.2", "fill.ratio.redis_cache.1", "fill.ratio.redis_cache.2")
		require.Len(t, r.rows, 1+2*5, "a header, and readers by caches")
	})

	t.Run("memory", func(t *testing.T) {
		r, err := measureMemory(t.Context(), memoryPlan{Rounds: 1, Entries: 20_000})
		require.NoError(t, err)
		requireResults(t, r, "memory.ratio.golanglru", "memory.ratio.expirable", "memory.ratio.otter", "memory.ratio.sturdyc", "memory.ratio.theine")
		for _, f := range r.Figures[:6] {
			require.Greater(t, f.Value, 50.0, f.Name)
			require.Less(t, f.Value, 1000.0, f.Name)
		}
	})

	t.Run("stale", func(t *testing.T) {
		pgtest.RequireBinaries(t)
		r, err := measureStale(t.Context(), stalePlan{
			Keys: 5, Late: time.Millisecond, Lag: 60 * time.Millisecond, Schedule: schedulePlan{Faults: []string{}},
		})
		require.NoError(t, err)
		require.Equal(t, []string{"stale.ours", "stale.singleflight", "stale.otter", "stale.sturdyc", "stale.redis_cache"}, resultNames(r)[:5])
		require.Zero(t, r.Results[0].Value, "ours is never stale")

		for _, other := range r.Results[1:5] {
			require.Positive(t, other.Value, "%s: the cases would prove nothing if nobody failed", other.Name)
		}

		require.NotContains(t, r.Counts, "standby left out")
	})

	t.Run("stale faults", func(t *testing.T) {
		pgtest.RequireBinaries(t)
		redistest.New(t, nil) // skips, where there is none

		if _, err := pgtest.FindBouncer(); err != nil {
			pgtest.Missing(t, "%v", err)
		}

		r := &report{Command: "stale", Counts: map[string]any{}}
		why, err := measureSchedule(t.Context(), r, schedulePlan{
			Faults: []string{"publisher killed", "rolled back"},
			Lead:   10 * time.Millisecond, Length: 2 * time.Second, Watch: time.Second,
		})
		require.NoError(t, err)
		require.Empty(t, why)

		results := map[string]float64{}
		for _, one := range r.Results {
			results[one.Name] = one.Value
		}

		require.Zero(t, results["stale.faults.beyond_bound"], "ours is bounded")
		require.Positive(t, results["stale.faults.redis_pub_sub_lru"], "a publisher that dies would prove nothing if this did not fail")
		require.Len(t, r.Charts, 2)
		require.Len(t, r.Charts[0].Panels[0].Lines, len(staleMakers))
	})

	t.Run("tier", func(t *testing.T) {
		redistest.New(t, nil) // skips, where there is none
		r, err := measureTier(t.Context(), tierPlan{Rounds: 2, Length: 20 * time.Millisecond, Readers: 4, Keys: 10, Size: 100, Many: 20})
		require.NoError(t, err)
		requireResults(t, r, "tier.ratio.rueidis", "tier.ratio.rueidis_same", "tier.ratio.csc", "tier.ratio.redis_cache",
			"tier.many.ratio.rueidis", "tier.many.ratio.rueidis_pipeline")
		require.Len(t, r.rows, 1+5+3, "a header, the readers, and those of many keys")
	})
}

// A source holds the first read of a key and no later one.
func TestSourceHoldsOnce(t *testing.T) {
	t.Parallel()
	h := &hold{make(chan struct{}), make(chan struct{})}
	s := &source{versions: map[string]int64{"a": 7}, holds: map[string]*hold{"a": h}}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.load(ctx, "a")
		ended <- err
	}()
	<-h.began
	v, err := s.load(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, int64(7), v.version)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
