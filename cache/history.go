package cache

import (
	"slices"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// history remembers which transactions have recently invalidated what. A value that was read elsewhere, by a standby or
// for a tier, comes with the snapshot it was read in; if that sees all that was invalidated here, the value is no older
// than what the database would answer.
//
// It is bounded. What it forgets raises a floor: a snapshot below it may be from before something forgotten.
type history struct {
	source hook.Source // nil: a bus without positions, on which no such value can be trusted
	limit  int

	mu      sync.Mutex
	records map[string]*record // by the name of a key or a tag as it travels
	topic   record
	queue   []noted // oldest first, from head on
	head    int
	seq     uint64

	// known says that base and floor are. Until the bus has proven that it is in sync as of since, or has told what its log
	// holds, nothing is known of what came before.
	known bool
	since time.Time
	// base is a snapshot: all that it does not see was told here. All snapshots of one primary are in one order, so
	// one that is no older sees all that this one sees.
	base   position.Stamp
	raised bool // by what was forgotten
	// floor is the largest transaction that was forgotten.
	floor uint64
	// tellings counts what was told of the log: such events come without detaching loads that are under way.
	tellings uint64
	// checks are earlier positions: what is forgotten and that one of them sees makes that the base, and need not raise the
	// floor, below which any long transaction keeps a snapshot's xmin.
	checks []position.Snapshot
}

// record is what is known of one key, tag or topic.
type record struct {
	seq       uint64
	xids      []uint64 // shared between the keys of a delivery: never changed in place
	floor     uint64   // the largest that does not stand in xids any more
	last      time.Time
	uncertain time.Time // a commit of unknown outcome: no value is stored until the bus is in sync as of then
	unknown   time.Time // an invalidation of an unknown transaction: no value read elsewhere until then
}

// noted is a place in the queue; an outdated one if the record has another number.
type noted struct {
	name string
	seq  uint64
}

const (
	maxXIDs        = 16 // of one record; older ones become its floor
	maxCheckpoints = 64
)

func newHistory(source hook.Source, limit int) *history {
	return &history{source: source, limit: limit, records: make(map[string]*record)}
}

// reset forgets everything: of what was before now, nothing is known.
func (h *history) reset(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.records)
	h.queue, h.head, h.topic, h.checks = nil, 0, record{}, nil
	h.known, h.since, h.base, h.raised, h.floor = false, now, position.Stamp{}, false, 0
}

// subscribed notes from when on all is told.
func (h *history) subscribed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = later(h.since, now)
}

// past is an event that the log held when it was asked.
type past struct {
	xid   uint64
	names []string
	all   bool
}

// tell fills in what the log held, newest first: all that from does not see, but for transactions up to floor. So a pod
// that has just started need not refuse all that the others have put into a tier.
func (h *history) tell(events []past, from position.Snapshot, floor uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queue := make([]noted, 0, len(events)+len(h.queue)-h.head)
	for _, e := range slices.Backward(events) {
		xids := []uint64{e.xid}
		if e.all {
			h.topic.addXIDs(xids)
		}
		for _, name := range e.names {
			r := h.records[name]
			if r == nil {
				h.seq++
				r = &record{seq: h.seq}
				h.records[name] = r
				queue = append(queue, noted{name, h.seq})
			}
			r.addXIDs(xids)
		}
	}
	h.queue, h.head = append(queue, h.queue[h.head:]...), 0
	h.tellings++
	h.floor = max(h.floor, floor)
	if h.known = true; !h.raised {
		h.base = from.Stamp()
	}
	for len(h.queue)-h.head > h.limit {
		h.forget()
	}
}

// event is what is worth remembering of a delivery.
type event struct {
	xids      []uint64
	uncertain bool
	at        time.Time
}

// note remembers an event of a key or a tag.
func (h *history) note(name string, e event) {
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
	h.queue = append(h.queue, noted{name, h.seq})
	if h.source != nil && h.seq%uint64(max(h.limit/maxCheckpoints, 1)) == 0 {
		h.checkpoint()
	}
	for len(h.queue)-h.head > h.limit {
		h.forget()
	}
}

// noteAll remembers an event of the whole topic.
func (h *history) noteAll(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	h.topic.seq = h.seq
	h.topic.add(e)
}

func (r *record) add(e event) {
	r.last = e.at
	switch {
	case e.uncertain:
		r.uncertain = e.at
	case len(e.xids) == 0:
		r.unknown = e.at
	default:
		r.addXIDs(e.xids)
	}
}

func (r *record) addXIDs(xids []uint64) {
	if len(r.xids) == 0 && len(xids) <= maxXIDs {
		r.xids = xids
		return
	}
	all := make([]uint64, 0, len(r.xids)+len(xids))
	all = append(append(all, r.xids...), xids...)
	slices.Sort(all)
	all = slices.Compact(all)
	if n := len(all) - maxXIDs; n > 0 {
		r.floor = max(r.floor, all[n-1])
		all = slices.Clone(all[n:])
	}
	r.xids = all
}

// checkpoint remembers the bus' position. The lock is held.
func (h *history) checkpoint() {
	_, at, ok := h.source.Position(hook.Token{})
	if !ok {
		return
	}
	if len(h.checks) == maxCheckpoints {
		h.checks = slices.Delete(h.checks, 0, 1)
	}
	h.checks = append(h.checks, at)
}

// forget drops the oldest. The lock is held.
func (h *history) forget() {
	oldest := h.queue[h.head]
	h.queue[h.head] = noted{}
	if h.head++; h.head > len(h.queue)/2 {
		h.queue = slices.Delete(h.queue, 0, h.head)
		h.head = 0
	}
	r := h.records[oldest.name]
	if r == nil || r.seq != oldest.seq {
		return
	}
	delete(h.records, oldest.name)
	if r.uncertain.After(h.topic.uncertain) {
		h.topic.uncertain = r.uncertain
	}
	if r.unknown.After(h.topic.unknown) {
		h.topic.unknown = r.unknown
	}
	for _, c := range h.checks {
		if (&sight{at: c}).sees(r) {
			if stamp := c.Stamp(); stamp.AtLeast(h.base) && h.known {
				h.base, h.raised = stamp, true
				return
			}
		}
	}
	h.floor = max(h.floor, r.floor, r.newest())
}

func (r *record) newest() uint64 {
	if len(r.xids) == 0 {
		return 0
	}
	return slices.Max(r.xids)
}

// recent is what is remembered of a key: when it was last invalidated, and by which transactions.
func (h *history) recent(name string) (last time.Time, xids []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.records[name]
	if r == nil {
		return h.topic.last, slices.Clone(h.topic.xids)
	}
	return later(r.last, h.topic.last), slices.Concat(r.xids, h.topic.xids)
}

// size is how many invalidations are remembered.
func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.records)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
