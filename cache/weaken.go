package cache

import (
	"math"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, to show that they are needed. Nobody outside of this module can call it. It is called
// before the cache is used and before its bus runs.
func (c *Cache[K, V]) Weaken(_ hook.Token, guards hook.CacheGuards) { c.weak = guards }

// noLoadStart is later than any invalidation of a tag. It stands for a load's start if the guard of tags is off.
var noLoadStart = &loadStart{count: math.MaxUint64}

// labelLate is how much later than its load a value is labelled for the tier if that guard is off. It makes a window of
// microseconds one that a test can hit.
const labelLate = 30 * time.Millisecond

// epochLate is how long before the epoch the position is read if that guard is off. It is longer than a failover takes.
const epochLate = 4 * time.Second

// latePosition keeps a position, as if each reader had paused for up to epochLate after it had read one.
type latePosition struct {
	mu   sync.Mutex
	read time.Time
	at   place
}

func (l *latePosition) position(read func() place) place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) > epochLate {
		l.read, l.at = time.Now(), read()
	}
	return l.at
}
