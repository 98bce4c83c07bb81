package cache

import (
	"context"
	"errors"
	"sync"

	"github.com/sony/gobreaker/v2"
)

const (
	maxDeletes  = 4096 // keys that wait to be deleted from the tier
	deleteBatch = 256  // in one call
)

// deletes are the keys that wait to be deleted from the tier. Nothing depends on that: a value from before an
// invalidation is refused. But it is read and refused once less.
type deletes struct {
	mu   sync.Mutex
	keys []string
	busy bool // a goroutine works them off
}

// forget has a key deleted, soon and perhaps.
func (t *tier[K, V]) forget(epoch, name string) {
	if t == nil {
		return
	}
	d := &t.deletes
	d.mu.Lock()
	defer d.mu.Unlock()

	if len(d.keys) >= maxDeletes {
		t.stats.tierDropped.Add(1)
		return
	}

	d.keys = append(d.keys, t.names.key(epoch, name))
	if !d.busy {
		d.busy = true
		t.working.add(1)
		go t.work()
	}
}

// work works the keys off and ends.
func (t *tier[K, V]) work() {
	defer t.working.add(-1)
	d := &t.deletes

	for {
		d.mu.Lock()
		n := min(len(d.keys), deleteBatch)
		if n == 0 {
			d.busy, d.keys = false, nil
			d.mu.Unlock()
			return
		}
		keys := d.keys[:n:n]
		d.keys = d.keys[n:]
		d.mu.Unlock()

		_, err := t.call(context.Background(), func(ctx context.Context) ([][]byte, error) { return nil, t.Delete(ctx, keys...) })
		switch {
		case err == nil:
			t.stats.tierDeletes.Add(int64(n))
		case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
			t.stats.tierDropped.Add(int64(n))
		default:
			t.stats.tierErrors.Add(1)
			t.stats.tierDropped.Add(int64(n))
		}
	}
}
