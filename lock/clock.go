package lock

import "time"

// trust is for how long a process relies on a lease after the moment it sent the request that was granted: less than
// its TTL, so that the local deadline is certain to come before the database's, even if its clock runs a little faster,
// and some time is left to stop.
func trust(ttl time.Duration) time.Duration {
	return ttl - min(max(ttl/10, 100*time.Millisecond), 2*time.Second)
}
