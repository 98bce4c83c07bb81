package history

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Clone returns a History of another source that shares nothing with h. Searches through all interleavings copy a pod
// before each step.
func (h *History) Clone(source Source) *History {
	h.mu.Lock()
	defer h.mu.Unlock()

	c := &History{
		source: source, limit: h.limit, records: make(map[string]*record, len(h.records)), topic: h.topic,
		queue: slices.Clone(h.queue), head: h.head, seq: h.seq, known: h.known, since: h.since, base: h.base, raised: h.raised,
		floor: h.floor, logLoads: h.logLoads, checkpoints: slices.Clone(h.checkpoints),
	}
	for name, r := range h.records {
		one := *r // xids are never changed in place
		c.records[name] = &one
	}
	return c
}

// AppendState appends everything that determines h's future behavior: two histories with equal bytes, and sources that
// behave alike, behave alike.
func (h *History) AppendState(b []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, name := range slices.Sorted(maps.Keys(h.records)) {
		b = append(append(b, name...), 0)
		b = h.records[name].appendState(b)
	}
	b = append(b, 0)
	b = h.topic.appendState(b)

	b = binary.AppendUvarint(b, uint64(len(h.queue)-h.head))
	for _, q := range h.queue[h.head:] {
		b = append(append(b, q.name...), 0)
		b = binary.AppendUvarint(b, q.seq)
	}

	b = appendBits(b, h.known, h.raised)
	b = binary.AppendUvarint(b, h.seq)
	b = binary.AppendUvarint(b, h.floor)
	b = binary.AppendUvarint(b, h.logLoads)
	if !h.known { // it is not asked for any more after that
		b = appendTime(b, h.since)
	}
	b = append(append(b, h.base.String()...), 0)
	b = binary.AppendUvarint(b, uint64(len(h.checkpoints)))
	for _, at := range h.checkpoints {
		b = appendSnapshot(b, at)
	}
	return b
}

// AppendState appends what determines what a mark means.
func (m Mark) AppendState(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, m.logLoads), m.event)
}

func (r *record) appendState(b []byte) []byte {
	b = binary.AppendUvarint(b, r.seq)
	b = binary.AppendUvarint(b, r.floor)
	b = binary.AppendUvarint(b, uint64(len(r.xids)))
	for _, xid := range r.xids {
		b = binary.AppendUvarint(b, xid)
	}
	return appendTime(appendTime(b, r.uncertain), r.unknown)
}

func appendBits(b []byte, bits ...bool) []byte {
	var all byte
	for i, set := range bits {
		if set {
			all |= 1 << i
		}
	}
	return append(b, all)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixNano())
}

func appendSnapshot(b []byte, s position.Snapshot) []byte { return append(append(b, s.String()...), 0) }
