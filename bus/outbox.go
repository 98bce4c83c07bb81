package bus

import (
	"sync"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// outbox holds committed events until the control loop announces them. It is bounded: what it drops is in the log, and
// the sweep announces it.
type outbox struct {
	poke func()

	mu      sync.Mutex
	events  []wire.Event
	dropped int64
}

const maxOutbox = 1 << 14

func (o *outbox) put(events []wire.Event) {
	o.mu.Lock()
	if over := len(o.events) + len(events) - maxOutbox; over > 0 {
		o.dropped += int64(min(over, len(o.events)))
		o.events = append(o.events[:0], o.events[min(over, len(o.events)):]...)
	}
	o.events = append(o.events, events...)
	o.mu.Unlock()
	o.poke()
}

// take empties the outbox and tells how many were dropped since the last time.
func (o *outbox) take() ([]wire.Event, int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	events, dropped := o.events, o.dropped
	o.events, o.dropped = nil, 0
	return events, dropped
}

func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.events)
}
