package history

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Event is what is remembered of a delivery.
type Event struct {
	XIDs      []uint64
	Uncertain bool // the outcome of the commit is unknown
	At        time.Time
}

// Note remembers an event of a key or a tag by its name on the wire.
func (h *History) Note(name string, e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()

	r := h.records[name]
	if r == nil {
		r = &record{}
		h.records[name] = r
	}
	h.seq++
	r.seq = h.seq
	r.add(e)

	h.queue = append(h.queue, queued{name, h.seq})
	if h.source != nil && h.seq%uint64(max(h.limit/maxCheckpoints, 1)) == 0 {
		h.checkpoint()
	}
	h.trim()
}

// NoteAll remembers an event of the whole topic.
func (h *History) NoteAll(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	h.topic.seq = h.seq
	h.topic.add(e)
}

// Past is an event that the log held when it was read.
type Past struct {
	XID   uint64
	Names []string
	All   bool
}

// LoadFromLog fills in what the log held, newest first: everything that from does not see, except for transactions up to
// floor. With it a pod that has just started need not refuse all that the others have put into a tier.
func (h *History) LoadFromLog(events []Past, from position.Snapshot, floor uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()

	// What comes from the log is older than what is queued already.
	queue := make([]queued, 0, len(events)+len(h.queue)-h.head)
	for _, e := range slices.Backward(events) {
		xids := []uint64{e.XID}
		if e.All {
			h.topic.addXIDs(xids)
		}
		for _, name := range e.Names {
			r := h.records[name]
			if r == nil {
				h.seq++
				r = &record{seq: h.seq}
				h.records[name] = r
				queue = append(queue, queued{name, h.seq})
			}
			r.addXIDs(xids)
		}
	}
	h.queue, h.head = append(queue, h.queue[h.head:]...), 0

	h.logLoads++
	h.floor = max(h.floor, floor)
	if h.known = true; !h.raised {
		h.base = from.Stamp()
	}
	h.trim()
}
