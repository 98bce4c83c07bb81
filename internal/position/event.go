package position

import (
	"fmt"
	"strconv"
	"strings"
)

// EventID identifies an event for as long as its epoch lasts: the transaction that wrote it and its number in there.
type EventID struct {
	XID uint64
	N   int32
}

// String returns the form used on the wire, "xid.n".
func (id EventID) String() string { return string(id.Append(nil)) }

// Append appends what String returns.
func (id EventID) Append(b []byte) []byte {
	b = append(strconv.AppendUint(b, id.XID, 10), '.')
	return strconv.AppendInt(b, int64(id.N), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (id EventID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *EventID) UnmarshalText(text []byte) error {
	left, right, ok := strings.Cut(string(text), ".")
	if !ok {
		return fmt.Errorf("position: malformed event id %q", text)
	}

	xid, err := strconv.ParseUint(left, 10, 64)
	if err != nil {
		return fmt.Errorf("position: malformed event id %q", text)
	}

	n, err := strconv.ParseInt(right, 10, 32)
	if err != nil {
		return fmt.Errorf("position: malformed event id %q", text)
	}

	*id = EventID{XID: xid, N: int32(n)}
	return nil
}

// Known is what a pod remembers of an event identity.
type Known uint8

const (
	// Announced: received through the channel, so every pod that listened then has it too.
	Announced Known = 1 << iota
	// Applied: this pod's own subscribers have it, whether or not it was ever announced.
	Applied
)

// memory keeps event identities until a full snapshot sees their transactions: from then on no difference read
// can return them, so they are not needed again.
type memory struct {
	known map[EventID]Known
	prune int // when the map reaches this size it is worth a walk
}

const (
	memoryWalk = 1 << 12 // below this size a walk is not worth it
	memoryMax  = 1 << 17 // above this, with nothing to forget, everything is forgotten: costs repeats, never losses
)

func (m *memory) get(id EventID) Known { return m.known[id] }

func (m *memory) add(id EventID, what Known, covered Snapshot) {
	if m.known == nil {
		m.known = make(map[EventID]Known)
		m.prune = memoryWalk
	}

	m.known[id] |= what
	if len(m.known) < m.prune {
		return
	}

	for id := range m.known {
		if covered.Sees(id.XID) {
			delete(m.known, id)
		}
	}

	if len(m.known) > memoryMax {
		clear(m.known)
	}

	m.prune = max(memoryWalk, 2*len(m.known))
}

func (m *memory) clear() { clear(m.known) }
