package bus

import (
	"context"
	"fmt"
	"time"
)

// Event says that cached copies of these keys of this topic, or of all of it, are no longer valid.
type Event struct {
	Topic string   // 1 to 200 bytes of UTF-8 without NUL: what a cache is called on the wire
	Keys  []string // each 0 to 1,024 bytes of UTF-8 without NUL
	All   bool     // the whole topic; Keys are then ignored. No keys and not All: nothing is invalid
}

// Bus is what caches, session stores and locks need of a bus. *Postgres and *Local implement it. All methods are safe
// for concurrent use.
type Bus interface {
	// Publish makes events known in a transaction of its own. When it returns nil they are durable for as long as the
	// log is, this bus' own subscribers have them at hand, and every other pod gets them or resets. No events, or none
	// that says anything, are no error and give a zero Receipt.
	Publish(ctx context.Context, events ...Event) (Receipt, error)

	// Confirm waits until no request that starts after it returned nil can be served, by any pod, what the receipt's
	// events made invalid.
	Confirm(ctx context.Context, r Receipt) error

	// Subscribe delivers every event of a topic to s, through a bounded queue of its own, one call at a time, until
	// unsubscribe is called. Subscribe before loading what is to be kept coherent. A delivery that is under way when
	// unsubscribe is called may still finish after it returned.
	Subscribe(topic string, s Subscriber) (unsubscribe func())

	// Fresh says whether what subscribers hold is proven to have been in sync less than StaleAfter ago.
	Fresh() bool

	// State is for people and dashboards; Fresh decides.
	State() State
}

// Subscriber takes deliveries. Both methods are called from a goroutine of the bus, never two at once for one
// subscription; while one blocks, events wait in the subscription's queue, and the pod cannot prove freshness, unless the
// subscriber is Independent. A panic is recovered, counted, and followed by a Reset.
type Subscriber interface {
	// Invalidate tells of an event. It may come twice.
	Invalidate(d Delivery)
	// Reset tells that anything may have been missed: everything held from before this call is to be distrusted.
	Reset(r Reason)
}

// SubscriberFuncs makes a Subscriber of two functions; nil ones do nothing.
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

// Delivery is an event as a subscriber gets it. Its slices are shared: do not change them.
type Delivery struct {
	Event
	// Local: published through this bus, delivered before the publisher went on.
	Local bool
	// Uncertain: the outcome of the commit is unknown. If it did commit, the event comes once more.
	Uncertain bool
	// XIDs are the transactions that the events came from, each once; empty if they are not known, as with Uncertain. What
	// a snapshot of the database sees of them tells whether a value read with it is from before or after.
	XIDs []uint64
	// CommittedAt is about when the event was committed, on this machine's clock: off by the network's delay. For
	// events folded together it is that of the oldest. Zero if not known.
	CommittedAt time.Time
}

// Reason says why a subscriber is reset.
type Reason string

// The reasons.
const (
	ReasonStart    Reason = "start"    // this is the bus' first position
	ReasonEpoch    Reason = "epoch"    // the log began anew: a crash, a failover, a restore, TRUNCATE
	ReasonPruned   Reason = "pruned"   // away for longer than the log reaches back
	ReasonRewound  Reason = "rewound"  // the database is older than it was: restored to a point in time
	ReasonCatchUp  Reason = "catch-up" // more events were missed than MaxCatchUp
	ReasonOverflow Reason = "overflow" // the subscription's queue was full
	ReasonPanic    Reason = "panic"    // the subscriber panicked
	ReasonClosed   Reason = "closed"   // Run ended; only events published through this bus come after it
)

// State says how a bus stands.
type State int32

// The states.
const (
	Starting   State = iota // Run has not been called, or has found no database yet
	CatchingUp              // connected; not yet proven to be in sync
	Live                    // notifications arrive, in sync
	Polling                 // notifications do not arrive; the log is read every PollInterval instead
	Stale                   // not proven to be in sync for StaleAfter
	Closed                  // Run has ended
)

// String is the state's name in lower case.
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
