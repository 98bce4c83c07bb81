package hook

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Door is the one method of a bus that only this module can call. *bus.Postgres, *bus.Local and *cachetest.Bus
// implement it.
type Door interface {
	Internal(Token) Source
}

// SourceOf returns the Source of a bus, and nil for a bus of another module.
func SourceOf(b any) Source {
	if door, ok := b.(Door); ok {
		return door.Internal(Token{})
	}
	return nil
}

// Source is what this module's own caches and stores need of a bus beyond bus.Bus. That of *bus.Postgres is also a
// Hinter, a Sweeper, Statements and a Weakener. All methods but Extend are one atomic load and may be called under
// any lock.
type Source interface {
	// FreshAge returns the age of the newest proof of being in sync at an instant that the caller has just read;
	// negative without a proof. Bus.Fresh means that FreshAge is less than StaleAfter.
	FreshAge(now elapsed.Instant) time.Duration

	// StaleAfter returns the configured bound of FreshAge.
	StaleAfter() time.Duration

	// ProvenSince reports whether a beat that was sent after t is proven, so that everything committed before t is
	// applied.
	ProvenSince(t time.Time) bool

	// Position returns the log's epoch, and the newest full snapshot of which every Synchronous subscriber has
	// received everything; ok is false before the first one and during a reset.
	Position() (epoch string, applied position.Snapshot, ok bool)

	// Extend announces that the caller keeps serving for this long after the bus has ceased to be fresh. The sum of
	// the longest such window and StaleAfter must fit into the cluster's pod lease, or Confirm would promise too
	// much. Otherwise it is an error, of this call if the pod lease is known already, else of Run.
	Extend(window time.Duration) error
}
