package cache

import (
	"math"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, to show that they are needed. Nobody outside of this module can call it. It is called
// before the cache is used and before its bus runs.
func (c *Cache[K, V]) Weaken(_ hook.Token, guards hook.CacheGuards) { c.weak = guards }

// weakened is a flight as it would be without its guards, and when it would have begun for its tags. The shard is locked.
func (c *Cache[K, V]) weakened(f *flight[K, V]) *begin {
	if c.weak.KeepLoadsOnReset {
		f.epoch = c.epoch.Load()
	}
	if c.weak.TagsForLater {
		return &begin{count: math.MaxUint64}
	}
	return f.began
}

// labelLate is how much later than its load a value is labelled for the tier if that guard is off. It makes a window of
// microseconds one that a test can hit.
const labelLate = 30 * time.Millisecond
