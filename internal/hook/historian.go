package hook

import "github.com/pgcoherence/pgcoherence/internal/position"

// Past is an event that is still in the log.
type Past struct {
	XID  uint64
	Keys []string
	All  bool
}

// Historian is a Synchronous subscriber that receives the events of its topic from before the bus's position that are
// still in the log: after it has subscribed, and after every reset. It is called under the bus's lock.
type Historian interface {
	Synchronous

	// HistoryLimit returns the maximum number of events for History. With 0 it is not called.
	HistoryLimit(Token) int

	// History receives all events of the topic that have committed by now and that from does not see. Those of
	// transactions up to and including floor may be missing. Events may have been delivered before, too.
	History(_ Token, events []Past, from position.Snapshot, floor uint64)
}
