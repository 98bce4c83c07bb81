package bus

import (
	"sync"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// outbox keeps committed events until the control loop announces them. It is bounded: what it drops is in the log, and
// the sweep announces it.
type outbox struct {
	signal func()

	mu      sync.Mutex
	events  []wire.Event
	dropped int64
}

const maxOutbox = 1 << 14

func (o *outbox) put(events []wire.Event) {
	o.mu.Lock()
	wake := len(o.events) == 0
	if len(o.events) >= maxOutbox {
		// The older half at once, and not one by one: the control loop may not take for a long time.
		n := copy(o.events, o.events[maxOutbox/2:])
		o.dropped += int64(len(o.events) - n)
		clear(o.events[n:])
		o.events = o.events[:n]
	}
	o.events = append(o.events, events...)
	o.mu.Unlock()
	if wake { // take takes all: one call per NOTIFY and not per commit
		o.signal()
	}
}

// take empties the outbox and returns how many were dropped since the last time.
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
