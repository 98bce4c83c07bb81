package cache

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// missed is why a value is not stored.
type missed uint8

const (
	missedNothing   missed = iota
	missedUncertain        // a commit is open, or its outcome unknown
	missedSnapshot         // the snapshot may not see an invalidation that is known here
)

// sight is what a value was read in.
type sight struct {
	none   bool // it was read from the primary after the load began, and nothing more is said
	at     position.Snapshot
	extras []uint64 // transactions that are seen beside
	// covered: of the primary, and no older than this pod's position when the load began. What was forgotten is in that.
	covered bool
	standby bool
}

// sees says whether all of a record is seen.
func (s *sight) sees(r *record) bool {
	if !s.covered && r.floor != 0 && s.at.Xmin <= r.floor {
		return false
	}
	for _, xid := range r.xids {
		if !s.at.Sees(xid) && !slices.Contains(s.extras, xid) {
			return false
		}
	}
	return true
}

// judge says whether a value may be stored.
func (h *history) judge(name string, tags []string, s sight) missed {
	if h.source == nil {
		if s.standby {
			return missedSnapshot
		}
		return missedNothing
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.ready()
	if !s.none && !s.covered && (!known || !h.covers(s.at)) {
		return missedSnapshot
	}
	worst := h.judgeRecord(&h.topic, &s)
	if r := h.records[name]; r != nil {
		worst = max(worst, h.judgeRecord(r, &s))
	}
	for _, tag := range tags {
		if r := h.records[TagKey(tag)]; r != nil {
			worst = max(worst, h.judgeRecord(r, &s))
		}
	}
	return worst
}

// ready says whether it is known what came before. The lock is held.
func (h *history) ready() bool {
	if h.known {
		return true
	}
	if !h.source.ProvenSince(hook.Token{}, h.since) {
		return false // what was told before may not be in the position yet
	}
	_, at, ok := h.source.Position(hook.Token{})
	if ok {
		h.known, h.base = true, at.Stamp()
	}
	return ok
}

// covers says whether a snapshot is from after all that was forgotten. The lock is held.
func (h *history) covers(s position.Snapshot) bool {
	return s.Stamp().AtLeast(h.base) && (h.floor == 0 || s.Xmin > h.floor)
}

// judgeRecord says what one record has against a value. The lock is held.
func (h *history) judgeRecord(r *record, s *sight) missed {
	if !r.uncertain.IsZero() {
		if !h.source.ProvenSince(hook.Token{}, r.uncertain) {
			return missedUncertain
		}
		r.unknown, r.uncertain = later(r.unknown, r.uncertain), time.Time{}
	}
	if s.none {
		return missedNothing
	}
	if !r.unknown.IsZero() && !s.covered {
		if !h.source.ProvenSince(hook.Token{}, r.unknown) {
			return missedSnapshot
		}
		_, at, ok := h.source.Position(hook.Token{})
		if !ok {
			return missedSnapshot
		}
		r.floor, r.unknown = max(r.floor, at.Xmax-1), time.Time{} // whichever it was, the position sees it
	}
	if !s.sees(r) {
		return missedSnapshot
	}
	return missedNothing
}

// told is how much a history has been told.
type told struct {
	log   uint64 // how often of the log
	event uint64 // the number of the last event
}

// told is for a load that begins, to be given to extras at its end.
func (h *history) told() told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return told{h.tellings, h.seq}
}

// extras are the transactions that a load which began at a position also saw the end of: those told of its key and its
// tags before it began. False: that is not known, because more was told of them since. An event is remembered before it
// detaches a load, so a load that is not detached may have missed what is remembered.
func (h *history) extras(name string, tags []string, at position.Snapshot, begun told) (xids []uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tellings != begun.log {
		return nil, false
	}
	names := make([]string, 0, 1+len(tags))
	names = append(names, name)
	for _, tag := range tags {
		names = append(names, TagKey(tag))
	}
	records := []*record{&h.topic}
	for _, n := range names {
		if r := h.records[n]; r != nil {
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
