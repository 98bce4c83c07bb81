package fill

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Clone returns a book that shares nothing with b, and functions that return what has taken the place of a Start and of an
// entry's marks. Searches through all interleavings copy a pod before each step.
func (b *TagBook) Clone() (c *TagBook, start func(*Start) *Start, marks func([]*TagMark) []*TagMark) {
	b.mu.Lock()
	defer b.mu.Unlock()

	c = NewTagBook()
	c.count.Store(b.count.Load())
	c.last, c.forgot = maps.Clone(b.last), b.forgot

	starts := make(map[*Start]*Start, len(b.begins))
	start = func(s *Start) *Start {
		if s == nil {
			return nil
		}
		if starts[s] == nil {
			one := *s
			starts[s] = &one
		}
		return starts[s]
	}
	for _, s := range b.begins {
		c.begins = append(c.begins, start(s))
	}

	copies := make(map[*TagMark]*TagMark)
	marks = func(list []*TagMark) []*TagMark {
		list = slices.Clone(list)
		for i, m := range list {
			if copies[m] == nil {
				one := &TagMark{name: m.name, refs: m.refs}
				one.dead.Store(m.dead.Load())
				if b.marks.Get(m.name) == m {
					c.marks.Set(m.name, one)
				}
				copies[m] = one
			}
			list[i] = copies[m]
		}
		return list
	}
	return c, start, marks
}

// AppendState appends everything that determines b's future behavior towards loads and entries. Marks are part of the
// entries that have them.
func (b *TagBook) AppendState(out []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()

	out = binary.AppendUvarint(out, b.count.Load())
	out = binary.AppendUvarint(out, b.forgot)
	for _, tag := range slices.Sorted(maps.Keys(b.last)) {
		out = append(append(out, tag...), 0)
		out = binary.AppendUvarint(out, b.last[tag])
	}
	out = append(out, 0)

	out = binary.AppendUvarint(out, uint64(len(b.begins)))
	for _, s := range b.begins {
		out = binary.AppendUvarint(out, s.count)
		out = binary.AppendUvarint(out, uint64(s.loads)) //nolint:gosec // not negative
	}
	return out
}

// AppendState appends everything that determines what becomes of a load.
func (f *Load) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f.Epoch))
	b = append(append(b, f.Place.Epoch...), 0)
	b = append(append(b, f.Place.At.String()...), 0)
	b = f.Place.Mark.AppendState(b)

	var bits byte
	for i, set := range []bool{f.Place.OK, f.Fresh, f.Primary, f.Trusted, f.Detached} {
		if set {
			bits |= 1 << i
		}
	}
	b = append(b, bits, byte(f.Phase))
	if f.Began == nil {
		return append(b, 0)
	}
	return binary.AppendUvarint(append(b, 1), f.Began.count)
}
