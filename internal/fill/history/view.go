package history

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// View is what a value was read in.
type View struct {
	// Unstated: the value was read from the primary after its load had begun, and nothing more is known.
	Unstated bool

	At     position.Snapshot
	Extras []uint64 // transactions that were seen beside At

	// Covered: the snapshot is of the primary and no older than this pod's position when the load began. What was
	// forgotten is included in that.
	Covered bool
	Standby bool
}

// sees reports whether all of a record is seen.
func (v *View) sees(r *record) bool {
	if !v.Covered && r.floor != 0 && v.At.Xmin <= r.floor {
		return false
	}
	for _, xid := range r.xids {
		if !v.At.Sees(xid) && !slices.Contains(v.Extras, xid) {
			return false
		}
	}
	return true
}

// Conflict is what speaks against storing a value. The larger one wins.
type Conflict uint8

// The conflicts.
const (
	NoConflict Conflict = iota
	// Uncertain: a commit is open, or its outcome unknown.
	Uncertain
	// Behind: the snapshot may not see an invalidation that is known here.
	Behind
)

// Check reports whether a value of a name and its tags, by their names on the wire, may be stored.
func (h *History) Check(name string, tags []string, v View) Conflict {
	if h.source == nil {
		if v.Standby {
			return Behind
		}
		return NoConflict
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.ready()
	if !v.Unstated && !v.Covered && (!known || !h.covers(v.At)) {
		return Behind
	}

	worst := h.checkRecord(&h.topic, &v)
	if r := h.records[name]; r != nil {
		worst = max(worst, h.checkRecord(r, &v))
	}
	for _, tag := range tags {
		if r := h.records[tag]; r != nil {
			worst = max(worst, h.checkRecord(r, &v))
		}
	}
	return worst
}

// ready reports whether it is known what came before. The lock is held.
func (h *History) ready() bool {
	if h.known {
		return true
	}

	// Until then, what was delivered before may not be in the position yet.
	if !h.source.ProvenSince(h.since) {
		return false
	}
	_, at, ok := h.source.Position()
	if ok {
		h.known, h.base = true, at.Stamp()
	}
	return ok
}

// covers reports whether a snapshot is newer than all that was forgotten. The lock is held.
func (h *History) covers(at position.Snapshot) bool {
	return at.Stamp().AtLeast(h.base) && (h.floor == 0 || at.Xmin > h.floor)
}

// checkRecord returns what one record has against a value. The lock is held.
func (h *History) checkRecord(r *record, v *View) Conflict {
	// Once the bus is in sync as of then, the outcome is known and was delivered.
	if !r.uncertain.IsZero() {
		if !h.source.ProvenSince(r.uncertain) {
			return Uncertain
		}
		r.unknown, r.uncertain = later(r.unknown, r.uncertain), time.Time{}
	}
	if v.Unstated {
		return NoConflict
	}

	// Whichever transaction it was, the position sees it once the bus is in sync as of then.
	if !r.unknown.IsZero() && !v.Covered {
		if !h.source.ProvenSince(r.unknown) {
			return Behind
		}
		_, at, ok := h.source.Position()
		if !ok {
			return Behind
		}
		r.floor, r.unknown = max(r.floor, at.Xmax-1), time.Time{}
	}

	if !v.sees(r) {
		return Behind
	}
	return NoConflict
}
