package lock

import "time"

// elapsed is how much time has passed since a reading of the clock: the larger of monotonic and wall time, because the
// monotonic clock stands still in a suspended machine, and the wall clock may be set back.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// trust is for how long a process relies on a lease after the moment it sent the request that was granted: less than
// its TTL, so that the local deadline is certain to come before the database's, even if its clock runs a little faster,
// and some time is left to stop.
func trust(ttl time.Duration) time.Duration {
	return ttl - min(max(ttl/10, 100*time.Millisecond), 2*time.Second)
}
