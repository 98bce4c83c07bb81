package hook

import "github.com/pgcoherence/pgcoherence/internal/position"

// Past is an event that the log still holds.
type Past struct {
	XID  uint64
	Keys []string
	All  bool
}

// Historian is a Synchronous subscriber that wants to know what its topic's log still holds from before the bus' position
// began: after it has subscribed, and after every reset. Like the others it is called under the bus' lock.
type Historian interface {
	Synchronous

	// HistoryLimit is how many events are wanted at most; none: nothing is told.
	HistoryLimit(Token) int

	// History tells of all events of the topic that have committed by now and that from does not see, but for those of
	// transactions up to and including floor, which may be missing. They may have been delivered before as well.
	History(_ Token, events []Past, from position.Snapshot, floor uint64)
}
