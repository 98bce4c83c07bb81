package cache

import (
	"sync/atomic"
	"time"
)

// limiter bounds how many loads run at once for a while after a reset: a cache that was full is then empty, in all pods.
type limiter struct {
	permits chan struct{}
	window  time.Duration
	until   atomic.Int64 // on the cache's clock
}

func (l *limiter) reset(now int64) { l.until.Store(now + int64(l.window)) }

func (l *limiter) bounded(now int64) bool { return now < l.until.Load() }
