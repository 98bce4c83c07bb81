// Package elapsed measures elapsed time that must never be too short.
package elapsed

import "time"

// Between returns the time between two readings of the clock: the larger of monotonic and wall time, because the
// monotonic clock stops in a suspended machine, and the wall clock may be set back. For readings without a monotonic
// part it uses the wall clock alone. It is negative only if both clocks say so.
func Between(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
