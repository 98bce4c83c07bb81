package bus

import (
	"context"
	"fmt"
	"time"
)

// Event says that cached copies of some keys of a topic, or of the whole topic, are no longer valid.
type Event struct {
	Topic string   // the name of the cache on the bus; 1 to 200 bytes of UTF-8 without NUL
	Keys  []string // each 0 to 1,024 bytes of UTF-8 without NUL
	All   bool     // the whole topic; Keys are then ignored. Without Keys and All the event is empty
}

// Bus is what caches, session stores and locks need of a bus. [Postgres] and [Local] implement it. All methods are
// safe for concurrent use.
type Bus interface {
	// Publish publishes events in a transaction of its own. When it returns nil, the events are in the log, this
	// bus's own caches have dropped the keys, and every other pod gets the events or resets. Without events, or if no
	// event has keys or All, it is a no-op that returns a zero Receipt.
	Publish(ctx context.Context, events ...Event) (Receipt, error)

	// Confirm waits until no pod can serve a request that starts after its return from what the receipt's events made
	// invalid.
	Confirm(ctx context.Context, r Receipt) error

	// Subscribe delivers every event of a topic to s until unsubscribe is called. Deliveries go through a bounded
	// queue of the subscription, one call at a time. Subscribe before loading the data that is to be kept coherent. A
	// delivery that has begun may still finish after unsubscribe has returned.
	Subscribe(topic string, s Subscriber) (unsubscribe func())

	// Fresh reports whether it is proven that the subscribers were in sync less than StaleAfter ago.
	Fresh() bool

	// State returns the connection state, for people and dashboards. Code should use Fresh.
	State() State
}

// Subscriber receives deliveries. Goroutines of the bus call both methods, one call at a time for each subscription.
// While a call blocks, events wait in the subscription's queue and the pod cannot prove freshness, unless the
// subscriber is [Independent]. A panic is recovered, counted, and followed by a Reset.
type Subscriber interface {
	// Invalidate is called for each event. The same event may arrive twice.
	Invalidate(d Delivery)
	// Reset is called when any events may have been missed: data from before the call must not be trusted.
	Reset(r Reason)
}

// SubscriberFuncs makes a [Subscriber] of two functions. A nil function is a no-op.
type SubscriberFuncs struct {
	OnInvalidate func(Delivery)
	OnReset      func(Reason)
}

// Invalidate implements Subscriber.
func (f SubscriberFuncs) Invalidate(d Delivery) {
	if f.OnInvalidate != nil {
		f.OnInvalidate(d)
	}
}

// Reset implements Subscriber.
func (f SubscriberFuncs) Reset(r Reason) {
	if f.OnReset != nil {
		f.OnReset(r)
	}
}

// Delivery is an event as a subscriber receives it. Its slices are shared and must not be changed.
type Delivery struct {
	Event
	// Local says that the event was published through this bus, and is delivered before the publishing call returns.
	Local bool
	// Uncertain says that the outcome of the commit is unknown. If it did commit, the event arrives once more.
	Uncertain bool
	// XIDs are the ids of the transactions that the event came from, each once. They are empty if not known, as with
	// Uncertain. A snapshot that sees these transactions returns values from after them.
	XIDs []uint64
	// CommittedAt is the approximate time of the commit on this machine's clock, inexact by the network's delay. For
	// events that were merged it is the time of the oldest. It is zero if not known.
	CommittedAt time.Time
}

// Reason says why subscribers were reset.
type Reason string

// The reasons.
const (
	ReasonStart    Reason = "start"    // the bus has its first position
	ReasonEpoch    Reason = "epoch"    // the log's epoch changed: a crash, a failover, a restore, or TRUNCATE
	ReasonPruned   Reason = "pruned"   // the pod was away for longer than Retention
	ReasonRewound  Reason = "rewound"  // the database is older than before: restored to a point in time
	ReasonCatchUp  Reason = "catch-up" // more events were missed than MaxCatchUp
	ReasonOverflow Reason = "overflow" // the subscription's queue was full
	ReasonPanic    Reason = "panic"    // the subscriber panicked
	ReasonClosed   Reason = "closed"   // Run has ended; from now on only events published through this bus arrive
)

// State is the connection state of a bus.
type State int32

// The states.
const (
	Starting   State = iota // Run has not been called, or has not reached a database yet
	CatchingUp              // connected; not yet proven to be in sync
	Live                    // in sync, by notifications
	Polling                 // in sync, by reading the log every PollInterval, because notifications do not arrive
	Stale                   // not proven to be in sync for longer than StaleAfter
	Closed                  // Run has ended
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case CatchingUp:
		return "catching-up"
	case Live:
		return "live"
	case Polling:
		return "polling"
	case Stale:
		return "stale"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *State) UnmarshalText(text []byte) error {
	for state := Starting; state <= Closed; state++ {
		if state.String() == string(text) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("bus: unknown state %.32q", text)
}
