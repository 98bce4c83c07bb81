package history

import (
	"math"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Mark is how much a History had received at some time.
type Mark struct {
	logLoads uint64 // calls of LoadFromLog
	event    uint64 // the number of the last event
}

// Late returns a mark that counts all later events as received as well. Fault tests use it to show that marks matter.
func (m Mark) Late() Mark {
	m.event = math.MaxUint64
	return m
}

// Mark is taken when a load begins, and given to Extras at its end.
func (h *History) Mark() Mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Mark{h.logLoads, h.seq}
}

// Extras returns the transactions that a load which began at a position has seen beside it: those delivered for its name
// and its tags before it began. It returns false if that is not known, because more was delivered for them since. An event
// is remembered before it detaches a load, so a load that is not detached may have missed what is remembered.
func (h *History) Extras(name string, tags []string, at position.Snapshot, begun Mark) (xids []uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.logLoads != begun.logLoads {
		return nil, false
	}

	records := []*record{&h.topic}
	if r := h.records[name]; r != nil {
		records = append(records, r)
	}
	for _, tag := range tags {
		if r := h.records[tag]; r != nil {
			records = append(records, r)
		}
	}

	for _, r := range records {
		if !r.uncertain.IsZero() || !r.unknown.IsZero() || r.seq > begun.event {
			return nil, false
		}
		for _, xid := range r.xids {
			if !at.Sees(xid) && !slices.Contains(xids, xid) {
				xids = append(xids, xid)
			}
		}
	}
	return xids, true
}
