package fill

import (
	"sync/atomic"

	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Refusal is why a value that was loaded is not stored; empty if nothing speaks against it.
type Refusal string

// The refusals.
const (
	Invalidated Refusal = "invalidated" // while it was loaded
	OtherEpoch  Refusal = "epoch"       // all was, or there was a reset
	Snapshot    Refusal = "snapshot"    // it was read before an invalidation that is known
	Uncertain   Refusal = "uncertain"   // an invalidation's commit has no known outcome yet
	NoPosition  Refusal = "position"    // the bus has no position yet
)

// ReadView is the snapshot of a read; the zero ReadView means that none is known.
type ReadView struct {
	At      position.Snapshot
	Standby bool
}

// IsZero reports whether there is no snapshot.
func (v ReadView) IsZero() bool { return v.At.Xmax == 0 }

// reliable returns what the snapshot surely sees. A standby does not list the transactions that are in progress, so only
// those below xmin are sure to have ended.
func (v ReadView) reliable() position.Snapshot {
	if v.Standby {
		return position.Snapshot{Xmin: v.At.Xmin, Xmax: v.At.Xmin}
	}
	return v.At
}

// Label is what a tier's value states about when it was read: the log's epoch, a snapshot, and the transactions that are
// seen beside it.
type Label struct {
	Epoch  string
	At     position.Snapshot
	Extras []uint64
}

// Value is what matters of a value that was loaded.
type Value struct {
	Name string   // of its key, on the wire
	Tags []string // as the loader named them
	Wire []string // the tags' names on the wire
	From ReadView // what the loader read it in
	Tier *Label   // it is from the tier; nil: from the loader
}

// Admission is the decision about a value.
type Admission struct {
	Refused Refusal
	Behind  bool // it is known to be old, so its readers must not get it either
	Late    bool // a tag was invalidated since the load began: readers who asked after that start over
}

// Judge decides about the loads of one cache. It reads the history and the tags, and writes nothing.
type Judge struct {
	Bus     history.Source // nil: a bus without positions
	History *history.History
	Tags    *TagBook
	Epoch   *atomic.Uint32 // the cache's
	Guards  hook.CacheGuards
}

// Admit decides whether a value may be stored and whether its readers may have it. The key's shard is locked, and stays
// so until the value is stored.
func (j *Judge) Admit(f *Load, v *Value) (d Admission) {
	d.Refused, d.Behind = j.refusal(f, v)
	if d.Late = j.Tags.Late(j.tagStart(f), v.Tags); d.Late && d.Refused == "" {
		d.Refused = Invalidated
	}
	return d
}

// Acquire returns the marks of an entry for an admitted value, or false if one of its tags was invalidated since the load
// began. The tags are not guarded by the shard's lock, so that may have happened since Admit.
func (j *Judge) Acquire(f *Load, v *Value) (marks []*TagMark, ok bool) {
	return j.Tags.Acquire(j.tagStart(f), v.Tags)
}

// StoredIn returns the epoch in which a load's value is stored: that of the load, so a reset since then includes it.
func (j *Judge) StoredIn(f *Load) uint32 {
	if j.Guards.KeepLoadsOnReset {
		return j.Epoch.Load()
	}
	return f.Epoch
}

// refusal returns why a value may not be stored, apart from its tags, and whether it is known to be old although the
// reader could trust the cache, so that the reader must not have it either.
func (j *Judge) refusal(f *Load, v *Value) (why Refusal, behind bool) {
	epoch := j.StoredIn(f)

	switch conflict := j.conflict(f, v); {
	case conflict == history.Behind:
		return Snapshot, v.Tier == nil && (f.Trusted || f.Fresh) && !j.covered(f, v)
	case f.Detached:
		return Invalidated, false
	case epoch != j.Epoch.Load():
		return OtherEpoch, false
	case conflict == history.Uncertain:
		return Uncertain, false
	case j.Bus != nil && !j.positioned():
		return NoPosition, false
	}
	return "", false
}

func (j *Judge) positioned() bool {
	_, _, ok := j.Bus.Position()
	return ok
}

// conflict returns what the history has against a value.
func (j *Judge) conflict(f *Load, v *Value) history.Conflict {
	if t := v.Tier; t != nil {
		if f.Primary || !f.Place.OK || t.Epoch != f.Place.Epoch && !j.Guards.AnyEpoch {
			return history.Behind
		}
		if j.Guards.AnySnapshot {
			return history.NoConflict
		}
		return j.History.Check(v.Name, v.Wire, history.View{At: t.At, Extras: t.Extras})
	}

	switch {
	case v.From.Standby && j.Guards.AnyStandby:
		return history.NoConflict
	case v.From.Standby && f.Fresh:
		return history.Behind
	}
	return j.History.Check(v.Name, v.Wire, history.View{
		Unstated: v.From.IsZero(), At: v.From.reliable(), Standby: v.From.Standby, Covered: j.covered(f, v),
	})
}

// covered reports whether a value's snapshot is of the primary and no older than this pod's position when the load began.
// What it does not see of what is known now has come since, and readers who asked before that may have the value.
func (j *Judge) covered(f *Load, v *Value) bool {
	return !v.From.IsZero() && !v.From.Standby && f.Place.OK && v.From.At.Stamp().AtLeast(f.Place.At.Stamp())
}

// Behind reports whether a value is known to be old, so that loading from the primary would help.
func (j *Judge) Behind(f *Load, v *Value) bool {
	if v.From.IsZero() || j.covered(f, v) {
		return false
	}
	return j.conflict(f, v) == history.Behind
}

// Label returns what a loaded value states about when it was read, for the tier. It returns false if that is not known.
// Whatever was invalidated since the load began, the label says that the value is from before.
func (j *Judge) Label(f *Load, v *Value) (label Label, ok bool) {
	if !v.From.IsZero() {
		return Label{Epoch: f.Place.Epoch, At: v.From.reliable()}, f.Place.OK
	}

	begun := f.Place.Mark
	if j.Guards.LabelLate {
		begun = begun.Late()
	}
	extras, ok := j.History.Extras(v.Name, v.Wire, f.Place.At, begun)
	return Label{Epoch: f.Place.Epoch, At: f.Place.At, Extras: extras}, ok && f.Place.OK
}

// tagStart returns when a load began for its tags.
func (j *Judge) tagStart(f *Load) *Start {
	if j.Guards.TagsForLater {
		return never
	}
	return f.Began
}

// MayJoin reports whether a reader may wait for a load: one that has not begun to read covers every reader. Fresh is a
// reader who wants a load that begins now. Young reports whether the load began to read less than StaleAfter ago, and
// primary whether it reads from the primary.
//
// For a reader who may trust the cache, a load that began while the bus was not fresh may return what a standby has that
// is behind. For one who may not, nothing is known of what detaches a load: that reader takes only what was read from
// the primary, and not longer ago than an entry could have been served.
func (j *Judge) MayJoin(f *Load, fresh bool, t Trust, epoch uint32, primary, young bool) bool {
	switch {
	case f.Phase == Waiting:
		return true
	case f.Phase != Reading || f.Detached && !j.Guards.KeepLoads || fresh && !j.Guards.FreshJoins:
		return false
	case f.Epoch != epoch && !j.Guards.KeepLoadsOnReset:
		return false
	case t == TrustFresh:
		return f.Trusted || f.Fresh
	}
	return primary && (young || j.Guards.JoinOld)
}

// StartsOver reports whether a reader has to ask again although its load has ended, because a tag of the value was
// invalidated between the load's begin and the reader's. Late is what Admit said, asked the count of tags at the
// reader's begin.
func StartsOver(f *Load, late bool, asked uint64) bool { return late && asked > f.Began.count }
