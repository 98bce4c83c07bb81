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
	open    bool // a control loop takes from it
	commits []commit
	events  int
	bytes   int
	dropped int64
}

// commit is what one transaction published. The names of its events are valid in one epoch only: a server that was
// promoted, or lost its latest transactions in a crash, gives their ids again.
type commit struct {
	epoch  string
	events []wire.Event
	bytes  int
}

const (
	// maxOutbox is how many bytes of events wait at most, and about what they take up in memory. An announcement of
	// more than that is of no use: it is thousands of payloads, and the sweep says the same topic by topic.
	maxOutbox = 4 << 20
	// eventBytes is what an event takes beside its texts, keyBytes a key.
	eventBytes, keyBytes = 96, 16
)

// start lets events in: before and after Run nothing takes them out.
func (o *outbox) start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = true
}

// stop drops what waits, and whatever comes later.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = false
	o.drop(len(o.commits))
}

// put adds the events of one transaction, named in an epoch. Without one they are left to the sweep.
func (o *outbox) put(epoch string, events []wire.Event) {
	size := sizeOf(events)

	o.mu.Lock()
	if !o.open || epoch == "" || size > maxOutbox {
		o.dropped += int64(len(events))
		o.mu.Unlock()
		return
	}
	wake := len(o.commits) == 0
	if o.bytes+size > maxOutbox {
		// The older half at once, and not one by one: the control loop may not take for a long time.
		n, kept := 0, o.bytes
		for n < len(o.commits) && (kept > maxOutbox/2 || kept+size > maxOutbox) {
			kept -= o.commits[n].bytes
			n++
		}
		o.drop(n)
	}
	o.commits = append(o.commits, commit{epoch, events, size})
	o.events, o.bytes = o.events+len(events), o.bytes+size
	o.mu.Unlock()

	if wake { // take takes all: one call per NOTIFY and not per commit
		o.signal()
	}
}

// drop drops the oldest n commits. The lock is held.
func (o *outbox) drop(n int) {
	for _, c := range o.commits[:n] {
		o.dropped += int64(len(c.events))
		o.events, o.bytes = o.events-len(c.events), o.bytes-c.bytes
	}
	kept := copy(o.commits, o.commits[n:])
	clear(o.commits[kept:])
	o.commits = o.commits[:kept]
}

// take empties the outbox. It returns the events that were named in an epoch, and how many were dropped since the last
// time, those of other epochs included: their names may mean other events now.
func (o *outbox) take(epoch string, anyEpoch bool) (events []wire.Event, dropped int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.commits {
		if c.epoch == epoch || anyEpoch {
			events = append(events, c.events...)
		} else {
			o.dropped += int64(len(c.events))
		}
	}
	dropped = o.dropped
	o.commits, o.events, o.bytes, o.dropped = nil, 0, 0, 0
	return events, dropped
}

// size returns how many events wait.
func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events
}

// sizeOf returns about how much memory events take.
func sizeOf(events []wire.Event) int {
	n := 0
	for _, e := range events {
		n += eventBytes + len(e.Topic)
		for _, key := range e.Keys {
			n += keyBytes + len(key)
		}
	}
	return n
}
