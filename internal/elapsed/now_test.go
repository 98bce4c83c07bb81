package elapsed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// Since is the larger of what the two clocks say, like Between.
func TestInstant(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := elapsed.At(now)
	require.Equal(t, time.Second, at.Since(elapsed.At(now.Add(-time.Second))))
	require.Equal(t, -time.Second, at.Since(elapsed.At(now.Add(time.Second))))
	require.InDelta(t, time.Hour, at.Since(elapsed.At(now.Round(0).Add(-time.Hour))), float64(time.Second), "a reading of the wall clock alone")
}

// Now lies between two readings of the clock before and after it, but for what the wall clock is slewed in a millisecond.
func TestNow(t *testing.T) {
	t.Parallel()
	const slewed = 100 * time.Microsecond
	for begun, last := time.Now(), elapsed.Now(); time.Since(begun) < 50*time.Millisecond; {
		before := elapsed.At(time.Now())
		now := elapsed.Now()
		after := elapsed.At(time.Now())
		require.LessOrEqual(t, before.Since(now), slewed)
		require.LessOrEqual(t, now.Since(after), slewed)
		require.GreaterOrEqual(t, now.Since(last), time.Duration(0))
		last = now
	}
}

// A clock that jumps is followed: that of a bubble is another one, and stands still until all in it sleep.
func TestNowInBubble(t *testing.T) {
	for range 2 {
		outside := elapsed.Now()
		synctest.Test(t, func(t *testing.T) {
			for range 3 {
				now := elapsed.Now()
				require.Equal(t, elapsed.At(time.Now()), now)
				require.NotEqual(t, outside, now)
				time.Sleep(time.Hour)
				require.Equal(t, time.Hour, elapsed.Now().Since(now))
			}
		})
	}
}

func BenchmarkNow(b *testing.B) {
	b.Run("time", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
	b.Run("elapsed", func(b *testing.B) {
		for b.Loop() {
			_ = elapsed.Now()
		}
	})
}
