// Package elapsed measures time for those who must not take it for shorter than it was.
package elapsed

import "time"

// Between is how much time has passed between two readings of the clock: the larger of monotonic and wall time, because
// the monotonic clock stands still in a suspended machine, and the wall clock may be set back. Readings without a
// monotonic part count by the wall clock alone. It is negative only if both clocks say so.
func Between(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
