package cache

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, to test that they are needed. Only this module can call it, before the cache is used
// and before its bus runs.
func (c *Cache[K, V]) Weaken(_ hook.Token, guards hook.CacheGuards) { c.judge.Guards = guards }

// labelLate is how much later than its load a value is labelled for the tier if that guard is off. It makes a window of
// microseconds one that a test can hit.
const labelLate = 30 * time.Millisecond

// epochLate is for how long after a new life of the log has begun readers go on with a position of the old one, if that guard
// is off.
const epochLate = 3 * time.Second

// latePosition returns positions to readers as if those at a failover had paused after they had read one.
type latePosition struct {
	mu    sync.Mutex
	at    fill.Place
	ended time.Time // when another life of the log was first seen; zero: it is the same
}

func (l *latePosition) position(read func() fill.Place) fill.Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch now := read(); {
	case !now.OK && l.at.OK:
	case now.Epoch == l.at.Epoch || !l.at.OK, !l.ended.IsZero() && time.Since(l.ended) > epochLate:
		l.at, l.ended = now, time.Time{}
	case l.ended.IsZero():
		l.ended = time.Now()
	}
	return l.at
}
