package history

import (
	"slices"
	"time"
)

// maxXIDs is how many transactions one record lists; older ones become its floor.
const maxXIDs = 16

// record is what is known of one key, tag or topic.
type record struct {
	seq       uint64
	xids      []uint64 // shared between the keys of a delivery: never changed in place
	floor     uint64   // the largest transaction that xids does not list any more
	last      time.Time
	uncertain time.Time // a commit of unknown outcome: no value is stored until the bus is in sync as of then
	unknown   time.Time // an invalidation by an unknown transaction: no value read elsewhere is stored until then
}

func (r *record) add(e Event) {
	r.last = e.At
	switch {
	case e.Uncertain:
		r.uncertain = e.At
	case len(e.XIDs) == 0:
		r.unknown = e.At
	default:
		r.addXIDs(e.XIDs)
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

func (r *record) newest() uint64 {
	if len(r.xids) == 0 {
		return 0
	}
	return slices.Max(r.xids)
}
