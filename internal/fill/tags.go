package fill

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pgcoherence/pgcoherence/internal/shrinkmap"
)

// MaxRecentTags is how many tags are remembered that were invalidated while loads are under way.
const MaxRecentTags = 4096

// TagMark is what all entries with one tag share: invalidating the tag is one write, however many they are.
type TagMark struct {
	name string
	dead atomic.Bool
	refs int // entries; under the book's lock
}

// Alive reports whether none of an entry's tags has been invalidated.
func Alive(marks []*TagMark) bool {
	for _, m := range marks {
		if m.dead.Load() {
			return false
		}
	}
	return true
}

// TagBook knows the tags of all entries, and which tags were invalidated while loads are under way: the tags of a
// load are known only at its end.
type TagBook struct {
	count atomic.Uint64 // invalidations of tags so far

	mu     sync.Mutex
	marks  shrinkmap.Map[string, *TagMark]
	last   map[string]uint64 // the count right after a tag's last invalidation; for those since the oldest load's begin
	forgot uint64            // invalidations up to this one may not be in last any more
	begins []*Start          // loads under way by the count at their begin, oldest first
}

// Start is when loads have begun, as a count of invalidated tags. Loads that began at the same count share it.
type Start struct {
	count uint64
	loads int
}

// Count returns how many tags have been invalidated so far.
func (b *TagBook) Count() uint64 { return b.count.Load() }

// never is later than any invalidation of a tag.
var never = &Start{count: math.MaxUint64}

// NewTagBook returns a book without tags.
func NewTagBook() *TagBook {
	return &TagBook{last: make(map[string]uint64)}
}

// Begin notes that a load begins, before it reads.
func (b *TagBook) Begin() *Start {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.count.Load()
	if i := len(b.begins) - 1; i >= 0 && b.begins[i].count == n {
		b.begins[i].loads++
		return b.begins[i]
	}
	at := &Start{count: n, loads: 1}
	b.begins = append(b.begins, at)
	return at
}

// End notes that a load has ended.
func (b *TagBook) End(at *Start) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at.loads--
	i := 0
	for i < len(b.begins) && b.begins[i].loads == 0 {
		i++
	}
	b.begins = slices.Delete(b.begins, 0, i)
	if len(b.begins) == 0 {
		clear(b.last)
	}
}

// Late reports whether one of the tags was invalidated since a load began.
func (b *TagBook) Late(since *Start, tags []string) bool {
	if len(tags) == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lateLocked(since, tags)
}

func (b *TagBook) lateLocked(since *Start, tags []string) bool {
	late := since.count < b.forgot
	for _, tag := range tags {
		late = late || b.last[tag] > since.count
	}
	return late
}

// Acquire returns the marks of an entry with these tags, or false if one of them was invalidated since the load began.
func (b *TagBook) Acquire(since *Start, tags []string) (marks []*TagMark, ok bool) {
	if len(tags) == 0 {
		return nil, true
	}
	if len(tags) > 1 { // one tag twice counts once
		tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lateLocked(since, tags) {
		return nil, false
	}

	marks = make([]*TagMark, len(tags))
	for i, tag := range tags {
		m := b.marks.Get(tag)
		if m == nil {
			m = &TagMark{name: tag}
			b.marks.Set(tag, m)
		}
		m.refs++
		marks[i] = m
	}
	return marks, true
}

// Release takes back the marks of an entry that is gone.
func (b *TagBook) Release(marks []*TagMark) {
	if len(marks) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if m.refs--; m.refs == 0 && b.marks.Get(m.name) == m {
			b.marks.Remove(m.name)
		}
	}
}

// Invalidate ends all entries with a tag, and reports whether there may be any.
func (b *TagBook) Invalidate(tag string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.count.Add(1)

	m := b.marks.Get(tag)
	if m != nil {
		m.dead.Store(true)
		b.marks.Remove(tag)
	}

	if len(b.begins) > 0 {
		b.last[tag] = n
		if len(b.last) > MaxRecentTags {
			b.forget()
		}
	}
	return m != nil
}

// forget makes room: first of what no load under way can have missed, then of all.
func (b *TagBook) forget() {
	for tag, n := range b.last {
		if n <= b.begins[0].count {
			delete(b.last, tag)
		}
	}
	if len(b.last) > MaxRecentTags/2 {
		b.forgot = b.count.Load()
		clear(b.last)
	}
}

// Sizes are how large the book is.
type Sizes struct{ Tags, Peak, Invalidated, Begins int }

// Sizes returns how large the book is.
func (b *TagBook) Sizes() Sizes {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Sizes{Tags: b.marks.Len(), Peak: b.marks.Peak(), Invalidated: len(b.last), Begins: len(b.begins)}
}
