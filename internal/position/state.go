package position

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// Clone returns a Tracker that shares nothing with t. Searches through all interleavings copy a pod before each step.
func (t *Tracker) Clone() Tracker {
	c := *t
	c.offered = slices.Clone(t.offered)
	c.barriers = slices.Clone(t.barriers)
	c.beats = slices.Clone(t.beats)
	c.sent = slices.Clone(t.sent)
	c.memory.known = maps.Clone(t.memory.known)

	return c
}

// AppendState appends everything that determines t's future behavior: two Trackers with equal bytes behave alike.
// Barriers are counted back from the newest, so the bytes do not grow with t's age.
func (t *Tracker) AppendState(b []byte) []byte {
	b = append(b, t.epoch...)
	b = append(b, 0)
	b = appendStamps(b, t.received, t.applied, t.marked)
	b = appendSnapshots(b, t.full, t.common)
	b = appendSnapshots(b, t.offered...)

	b = binary.AppendUvarint(b, uint64(len(t.barriers)))
	for _, barrier := range t.barriers {
		b = binary.AppendUvarint(b, t.seq-barrier.seq)
		b = appendStamps(b, barrier.stamp)
	}

	b = binary.AppendUvarint(b, uint64(len(t.beats)))
	for _, beat := range t.beats {
		b = appendSnapshots(b, beat.answer)
		b = appendTime(b, beat.sent)
		if beat.passed {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	b = appendTime(b, t.fresh)

	b = binary.AppendUvarint(b, uint64(len(t.sent)))
	b = appendStamps(b, t.sent...)

	return t.memory.appendState(b)
}

func (m *memory) appendState(b []byte) []byte {
	ids := slices.SortedFunc(maps.Keys(m.known), func(x, y EventID) int {
		if x.XID != y.XID {
			return cmp.Compare(x.XID, y.XID)
		}
		return cmp.Compare(x.N, y.N)
	})

	for _, id := range ids {
		b = binary.AppendUvarint(b, id.XID)
		b = binary.AppendVarint(b, int64(id.N))
		b = append(b, byte(m.known[id]))
	}

	return b
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())

	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func appendStamps(b []byte, stamps ...Stamp) []byte {
	for _, s := range stamps {
		b = binary.AppendUvarint(b, s.Xmax)
		b = binary.AppendUvarint(b, uint64(s.InProgress))
	}

	return b
}

func appendSnapshots(b []byte, snapshots ...Snapshot) []byte {
	b = binary.AppendUvarint(b, uint64(len(snapshots)))
	for _, s := range snapshots {
		b = binary.AppendUvarint(b, s.Xmin)
		b = binary.AppendUvarint(b, s.Xmax)
		b = binary.AppendUvarint(b, uint64(len(s.Xip)))
		for _, xid := range s.Xip {
			b = binary.AppendUvarint(b, xid)
		}
	}

	return b
}
