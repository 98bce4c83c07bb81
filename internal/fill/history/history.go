package history

import (
	"slices"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// maxCheckpoints is how many earlier positions of the bus are kept.
const maxCheckpoints = 64

// Source is what a History needs of a bus.
type Source interface {
	// ProvenSince reports whether a beat that was sent after t is proven, so that everything committed before t is
	// applied.
	ProvenSince(t time.Time) bool

	// Position returns the log's epoch, and the newest full snapshot of which everything was delivered; ok is false
	// before the first one and during a reset.
	Position() (epoch string, applied position.Snapshot, ok bool)
}

// History is the memory of one cache. All methods are safe for concurrent use; none blocks.
type History struct {
	source Source // nil: a bus without positions, on which no value read elsewhere can be trusted
	limit  int

	mu      sync.Mutex
	records map[string]*record // by the name of a key or a tag on the wire
	topic   record             // of events that name the whole topic
	queue   []queued           // oldest first, from head on
	head    int
	seq     uint64

	// known reports whether base and floor are valid. Until the bus has proven that it is in sync as of since, or has
	// delivered what its log holds, nothing is known of what came before.
	known bool
	since time.Time

	// base is a snapshot: everything that it does not see was delivered here. All snapshots of one primary are in one
	// order, so one that is no older sees all that this one sees.
	base   position.Stamp
	raised bool // by what was forgotten

	// floor is the largest transaction that was forgotten.
	floor uint64

	// logLoads counts calls of LoadFromLog: such events come without detaching loads that are under way.
	logLoads uint64

	// checkpoints are earlier positions. If one of them sees what is forgotten, it becomes the base, and the floor, below
	// which any long transaction keeps a snapshot's xmin, need not rise.
	checkpoints []position.Snapshot
}

// queued is a place in the queue; it is outdated if the record has another number.
type queued struct {
	name string
	seq  uint64
}

// New returns a History of at most limit names. A nil source is a bus without positions.
func New(source Source, limit int) *History {
	return &History{source: source, limit: limit, records: make(map[string]*record)}
}

// Reset forgets everything: of what was before now, nothing is known.
func (h *History) Reset(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.records = make(map[string]*record) // a map never shrinks
	h.queue, h.head, h.topic, h.checkpoints = nil, 0, record{}, nil
	h.known, h.since, h.base, h.raised, h.floor = false, now, position.Stamp{}, false, 0
}

// Subscribed sets the time from which on every event is delivered.
func (h *History) Subscribed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = later(h.since, now)
}

// Len returns how many names are remembered.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.records)
}

// Recent returns when a name was last invalidated, by itself or with the whole topic, and by which transactions.
func (h *History) Recent(name string) (last time.Time, xids []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()

	r := h.records[name]
	if r == nil {
		return h.topic.last, slices.Clone(h.topic.xids)
	}
	return later(r.last, h.topic.last), slices.Concat(r.xids, h.topic.xids)
}

// checkpoint remembers the bus' position. The lock is held.
func (h *History) checkpoint() {
	_, at, ok := h.source.Position()
	if !ok {
		return
	}
	if len(h.checkpoints) == maxCheckpoints {
		h.checkpoints = slices.Delete(h.checkpoints, 0, 1)
	}
	h.checkpoints = append(h.checkpoints, at)
}

// trim forgets the oldest names over the limit. The lock is held.
func (h *History) trim() {
	for len(h.queue)-h.head > h.limit {
		h.forgetOldest()
	}
}

// forgetOldest drops the oldest place of the queue and, unless it is outdated, its record. The lock is held.
func (h *History) forgetOldest() {
	oldest := h.queue[h.head]
	h.queue[h.head] = queued{}
	if h.head++; h.head > len(h.queue)/2 {
		h.queue = slices.Delete(h.queue, 0, h.head)
		h.head = 0
	}

	r := h.records[oldest.name]
	if r == nil || r.seq != oldest.seq {
		return
	}
	delete(h.records, oldest.name)

	// What is not resolved yet now counts for the whole topic.
	h.topic.uncertain = later(h.topic.uncertain, r.uncertain)
	h.topic.unknown = later(h.topic.unknown, r.unknown)

	// A checkpoint that sees the record's transactions becomes the base; otherwise they raise the floor.
	for _, at := range h.checkpoints {
		if (&View{At: at}).sees(r) {
			if stamp := at.Stamp(); stamp.AtLeast(h.base) && h.known {
				h.base, h.raised = stamp, true
				return
			}
		}
	}
	h.floor = max(h.floor, r.floor, r.newest())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
