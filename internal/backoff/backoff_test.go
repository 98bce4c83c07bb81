package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

func TestNextGrowsToMax(t *testing.T) {
	t.Parallel()
	b := backoff.Backoff{Base: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	bounds := []time.Duration{10, 20, 40, 80, 100, 100, 100}
	longest := make([]time.Duration, len(bounds))
	for range 500 {
		b.Reset()
		for i, bound := range bounds {
			d := b.Next()
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, bound*time.Millisecond)
			longest[i] = max(longest[i], d)
		}
	}

	for i, bound := range bounds {
		require.Greater(t, longest[i], bound*time.Millisecond/2, "jitter is over the whole range")
	}

	// Without end, and without overflow.
	for range 200 {
		require.LessOrEqual(t, b.Next(), 100*time.Millisecond)
	}

	var zero backoff.Backoff
	require.Zero(t, zero.Next())
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		require.True(t, backoff.Wait(t.Context(), time.Hour))
		require.Equal(t, time.Hour, time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.False(t, backoff.Wait(ctx, time.Hour))
		require.Equal(t, time.Hour+time.Minute, time.Since(begin))
		require.False(t, backoff.Wait(ctx, time.Hour), "a context that has ended waits for nothing")
		require.Equal(t, time.Hour+time.Minute, time.Since(begin))
	})
}
