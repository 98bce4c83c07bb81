package main

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// recorder is a subscriber like anybody's, behind a queue: it remembers which events arrived.
type recorder struct {
	trouble *trouble

	mu      sync.Mutex
	arrived map[int64]bool // events by the version that they published
	cleared time.Time      // when all was last distrusted
}

func newRecorder(t *trouble) *recorder { return &recorder{trouble: t, arrived: map[int64]bool{}} }

// Invalidate implements bus.Subscriber.
func (r *recorder) Invalidate(d bus.Delivery) {
	r.trouble.suffer()
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.All {
		r.cleared = time.Now()
		return
	}
	for _, key := range d.Keys {
		if kind, n := parseKey(key); kind == eventKey && !d.Uncertain {
			r.arrived[n] = true
		}
	}
}

// Reset implements bus.Subscriber.
func (r *recorder) Reset(bus.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleared = time.Now()
}

// missing are those of the events that have not arrived, and when all was last distrusted.
func (r *recorder) missing(events []int64) (rest []int64, cleared time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if !r.arrived[e] {
			rest = append(rest, e)
		}
	}
	return rest, r.cleared
}
