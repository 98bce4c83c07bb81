package wire

import (
	"errors"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Version is the version that this code writes. No pod reads a payload of another version, see ErrVersion.
const Version = 1

// MaxPayload is the longest payload in bytes. Postgres refuses 8,000 and more (measured, 22023).
const MaxPayload = 7900

var (
	// ErrMalformed is returned for a payload that this library did not write. Count and ignore it.
	ErrMalformed = errors.New("wire: malformed payload")
	// ErrVersion is returned for a payload of an unknown version, as during a rolling upgrade. It may contain events, so
	// the receiver reads the difference from the log.
	ErrVersion = errors.New("wire: unknown payload version")
	// ErrEpoch is returned for a payload of another epoch. It cannot be authenticated; the receiver reads the difference.
	ErrEpoch = errors.New("wire: payload of another epoch")
	// ErrMAC is returned for a payload of this epoch with a wrong authentication code. It is forged: count and ignore it.
	ErrMAC = errors.New("wire: payload with a bad authentication code")
)

// Message is the body of one payload. Events of a message come before its mark.
type Message struct {
	Groups []Group `json:"e,omitempty"`
	Mark   *Mark   `json:"m,omitempty"`
	Ask    bool    `json:"ask,omitempty"` // pods beat at once after this: another pod waits for their positions
	Probe  uint64  `json:"p,omitempty"`   // a number by which its sender checks that notifications arrive
}

// Group is a set of events of one topic, equal keys folded.
type Group struct {
	Topic string             `json:"t"`
	Keys  []string           `json:"k,omitempty"`
	All   bool               `json:"all,omitempty"` // the whole topic; then there are no keys
	IDs   []position.EventID `json:"x,omitempty"`   // the events that are complete with this group
	Also  bool               `json:"u,omitempty"`   // there are keys of events that are not named here
	XIDs  []uint64           `json:"w,omitempty"`   // the transactions of those events
	At    int64              `json:"at,omitempty"`  // commit time of the oldest, Unix microseconds on the database's clock
}

// Transactions are the transactions that the group's keys come from, each once.
func (g *Group) Transactions() []uint64 {
	xids := make([]uint64, 0, len(g.IDs)+len(g.XIDs))
	for _, id := range g.IDs {
		xids = append(xids, id.XID)
	}
	xids = append(xids, g.XIDs...)
	slices.Sort(xids)
	return slices.Compact(xids)
}

// Mark says that every event visible at To and not at From has been announced before it.
type Mark struct {
	From position.Stamp `json:"from"`
	To   position.Stamp `json:"to"`
	// Pods is how many pods there are, as the one that sweeps has counted them; 0 if it has not.
	Pods int64 `json:"n,omitempty"`
}

// Event is one event to announce.
type Event struct {
	ID    position.EventID
	HasID bool // rows written by triggers have no number and so no identity; then only ID.XID counts
	Topic string
	Keys  []string
	All   bool
	At    int64 // Unix microseconds on the database's clock, 0 if not known
}

// Nothing reports whether the event invalidates nothing.
func (e Event) Nothing() bool { return !e.All && len(e.Keys) == 0 }
