package cache

import (
	"context"
	"sync"
	"time"
)

// maxWrites is how many values wait to be written to the tier.
const maxWrites = 4096

// writes are the values that wait to be written to the tier. The goroutine that adds one while no other writes does so for all, until
// there are none: what many loads have read at the same time goes there in one call, and a value that is alone at once.
type writes struct {
	mu    sync.Mutex
	items []waitingWrite
	busy  bool // a goroutine works them off
}

// waitingWrite is a value, and until when it is worth writing.
type waitingWrite struct {
	TierItem
	until time.Time
}

// add has values written, by the caller's goroutine if no other is at it. One for which there is no room or no time is left
// out: it is read from the database once more.
func (t *tier[K, V]) add(ctx context.Context, items []TierItem) {
	w := &t.writes
	until := time.Now().Add(writeBackTimeouts * t.timeout)
	w.mu.Lock()
	room := items[:min(len(items), max(maxWrites-len(w.items), 0))]
	for _, item := range room {
		w.items = append(w.items, waitingWrite{item, until})
	}
	busy := w.busy
	w.busy = true
	w.mu.Unlock()

	if n := len(items) - len(room); n > 0 {
		t.stats.tierSkipped.Add(int64(n))
	}
	if !busy {
		t.writeAll(ctx)
	}
}

// writeAll writes what waits, in as few calls as there can be.
func (t *tier[K, V]) writeAll(ctx context.Context) {
	for {
		items, skipped := t.nextWrites(ctx)
		t.stats.tierSkipped.Add(int64(skipped))
		if len(items) == 0 {
			return
		}

		_, err := t.call(ctx, func(ctx context.Context) ([][]byte, error) {
			if len(items) == 1 {
				return nil, t.Set(ctx, items[0].Key, items[0].Value, items[0].TTL)
			}
			return nil, t.bulk.SetMany(ctx, items)
		})

		if err == nil {
			t.stats.tierSets.Add(int64(len(items)))
		} else {
			t.countFailure(err, int64(len(items)))
		}
	}
}

// nextWrites takes the values of the next call, and returns how many were left out before them. If there are none, no goroutine
// writes any more.
func (t *tier[K, V]) nextWrites(ctx context.Context) (items []TierItem, skipped int) {
	w := &t.writes
	w.mu.Lock()
	defer w.mu.Unlock()
	most := 1
	if t.bulk != nil {
		most = tierBatch
	}

	now, taken := time.Now(), 0
	for ; taken < len(w.items) && len(items) < most; taken++ {
		if ctx.Err() != nil || now.After(w.items[taken].until) {
			skipped++
			continue
		}
		items = append(items, w.items[taken].TierItem)
	}
	w.items = w.items[taken:]
	if len(items) == 0 {
		w.items, w.busy = nil, false
	}
	return items, skipped
}
