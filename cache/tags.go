package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxRecentTags is how many tags are remembered that were invalidated while loads are under way.
const maxRecentTags = 4096

// tagMark is what all entries with one tag share: invalidating the tag is one write, however many they are.
type tagMark struct {
	name string
	dead atomic.Bool
	refs int // entries; under the book's lock
}

// tagBook knows the tags of all entries, and which tags were invalidated while loads are under way: the tags of a
// load are known only at its end.
type tagBook struct {
	count atomic.Uint64 // invalidations of tags so far

	mu     sync.Mutex
	marks  shrinkMap[string, *tagMark]
	last   map[string]uint64 // the count right after a tag's last invalidation; for those since the oldest load's begin
	forgot uint64            // invalidations up to this one may not be in last any more
	begins []*loadStart      // loads under way by the count at their begin, oldest first
}

// begin is how many loads under way have begun at one count.
type loadStart struct {
	count uint64
	loads int
}

func newTagBook() *tagBook {
	return &tagBook{last: make(map[string]uint64)}
}

// begin notes that a load begins, before it reads.
func (b *tagBook) begin() *loadStart {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.count.Load()
	if i := len(b.begins) - 1; i >= 0 && b.begins[i].count == n {
		b.begins[i].loads++
		return b.begins[i]
	}
	at := &loadStart{count: n, loads: 1}
	b.begins = append(b.begins, at)
	return at
}

// end notes that a load has ended.
func (b *tagBook) end(at *loadStart) {
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

// late reports whether one of the tags was invalidated since a load began.
func (b *tagBook) late(since *loadStart, tags []string) bool {
	if len(tags) == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lateLocked(since, tags)
}

func (b *tagBook) lateLocked(since *loadStart, tags []string) bool {
	late := since.count < b.forgot
	for _, tag := range tags {
		late = late || b.last[tag] > since.count
	}
	return late
}

// acquire returns the marks of an entry with these tags, or false if one of them was invalidated since the load began.
func (b *tagBook) acquire(since *loadStart, tags []string) (marks []*tagMark, ok bool) {
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

	marks = make([]*tagMark, len(tags))
	for i, tag := range tags {
		m := b.marks.get(tag)
		if m == nil {
			m = &tagMark{name: tag}
			b.marks.set(tag, m)
		}
		m.refs++
		marks[i] = m
	}
	return marks, true
}

// release takes back the marks of an entry that is gone.
func (b *tagBook) release(marks []*tagMark) {
	if len(marks) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if m.refs--; m.refs == 0 && b.marks.get(m.name) == m {
			b.marks.remove(m.name)
		}
	}
}

// invalidate ends all entries with a tag, and reports whether there may be any.
func (b *tagBook) invalidate(tag string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.count.Add(1)

	m := b.marks.get(tag)
	if m != nil {
		m.dead.Store(true)
		b.marks.remove(tag)
	}

	if len(b.begins) > 0 {
		b.last[tag] = n
		if len(b.last) > maxRecentTags {
			b.forget()
		}
	}
	return m != nil
}

// forget makes room: first of what no load under way can have missed, then of all.
func (b *tagBook) forget() {
	for tag, n := range b.last {
		if n <= b.begins[0].count {
			delete(b.last, tag)
		}
	}
	if len(b.last) > maxRecentTags/2 {
		b.forgot = b.count.Load()
		clear(b.last)
	}
}
