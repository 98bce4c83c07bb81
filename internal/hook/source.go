package hook

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Door is the one method of a bus that only this module can call. *bus.Postgres, *bus.Local and *cachetest.Bus have it.
type Door interface {
	Internal(Token) Source
}

// SourceOf returns what is behind the door of a bus, and nil for a bus that has none: a foreign one.
func SourceOf(b any) Source {
	if door, ok := b.(Door); ok {
		return door.Internal(Token{})
	}
	return nil
}

// Source is what this project's own caches and stores ask of a bus beyond bus.Bus. That of *bus.Postgres is a Hinter, a
// Sweeper, Statements and a Weakener as well. All methods but Extend are one atomic load: they may be called under any lock.
type Source interface {
	// FreshAge is how old the newest proof of being in sync is at an instant that the caller has just read; negative if
	// there is none. Bus.Fresh is FreshAge less than StaleAfter.
	FreshAge(now elapsed.Instant) time.Duration

	// StaleAfter is the configured bound of FreshAge.
	StaleAfter() time.Duration

	// ProvenSince says whether a beat that was sent after t is proven: all that committed before t is applied.
	ProvenSince(t time.Time) bool

	// Position is the log's identity and the newest full snapshot of which every Synchronous subscriber has been told
	// everything; ok is false before the first and during a reset.
	Position() (epoch string, applied position.Snapshot, ok bool)

	// Extend announces that somebody goes on serving for this long after the bus has ceased to be fresh. The longest
	// such window and StaleAfter have to fit into the cluster's pod lease, or Confirm would promise too much: the error
	// says so, here if the pod lease is known already, else from Run.
	Extend(window time.Duration) error
}
