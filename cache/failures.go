package cache

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxFailures = 4096            // keys whose last load has failed
	maxBackoff  = 5 * time.Second // between two loads of a key that fails
)

// failures remembers which loads have failed, so that readers of a key that cannot be loaded do not all try. Each failure
// in a row doubles the pause.
type failures[K comparable] struct {
	first time.Duration // the first pause; zero: off
	count atomic.Int64  // of keys, so that most need no lock

	mu   sync.Mutex
	keys *simplelru.LRU[K, failure]
}

// failure is that of one key.
type failure struct {
	err   error
	pause time.Duration
	until int64 // on the cache's clock
}

func newFailures[K comparable](first time.Duration) (*failures[K], error) {
	keys, err := simplelru.NewLRU[K, failure](maxFailures, nil)
	return &failures[K]{first: first, keys: keys}, err
}

// pausing returns the error of a key that is not to be loaded again yet.
func (x *failures[K]) pausing(key K, now int64) error {
	if x.count.Load() == 0 {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f, ok := x.keys.Get(key)
	if !ok || f.until <= now {
		return nil
	}
	return f.err
}

// failed notes a failure.
func (x *failures[K]) failed(key K, err error, now int64) {
	if x.first <= 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f, ok := x.keys.Get(key)
	if f.pause = min(2*f.pause, maxBackoff); !ok {
		f.pause = x.first
	}
	f.err, f.until = err, now+int64(f.pause)
	x.keys.Add(key, f)
	x.count.Store(int64(x.keys.Len()))
}

// forget ends the pause of a key, because a load has succeeded, or the key was invalidated.
func (x *failures[K]) forget(key K) {
	if x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys.Remove(key)
	x.count.Store(int64(x.keys.Len()))
}

// clear ends all pauses.
func (x *failures[K]) clear() {
	if x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys.Purge()
	x.count.Store(0)
}

// noteResult notes how the load of a key has ended, for the pause before the next one.
func (c *Cache[K, V]) noteResult(f *call[K, V], err error) {
	switch {
	case err == nil, isAbsent(err):
		c.failures.forget(f.key)
	case errors.Is(err, errAbandoned), errors.Is(err, ErrClosed), errors.Is(err, ErrCycle), errors.Is(err, ErrBehind):
		// It says nothing about what another load would come to.
	case f.Phase == phaseEnded && f.since.IsZero():
		// It never began.
	case !f.Detached:
		c.failures.failed(f.key, err, c.now())
	}
}
