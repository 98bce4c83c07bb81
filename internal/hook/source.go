package hook

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Source is what this project's own caches and stores ask of a bus beyond bus.Bus. *bus.Postgres and *bus.Local
// implement it. All methods but Extend are one atomic load: they may be called under any lock.
type Source interface {
	// FreshAge is how old the newest proof of being in sync is at an instant that the caller has just read; negative if
	// there is none. Bus.Fresh is FreshAge less than StaleAfter.
	FreshAge(_ Token, now elapsed.Instant) time.Duration

	// StaleAfter is the configured bound of FreshAge.
	StaleAfter(Token) time.Duration

	// ProvenSince says whether a beat that was sent after t is proven: all that committed before t is applied.
	ProvenSince(_ Token, t time.Time) bool

	// Position is the log's identity and the newest full snapshot of which every Synchronous subscriber has been told
	// everything; ok is false before the first and during a reset.
	Position(Token) (epoch string, applied position.Snapshot, ok bool)

	// Extend announces that somebody goes on serving for this long after the bus has ceased to be fresh. The longest
	// such window and StaleAfter have to fit into the cluster's pod lease, or Confirm would promise too much: the error
	// says so, here if the pod lease is known already, else from Run.
	Extend(_ Token, window time.Duration) error
}
