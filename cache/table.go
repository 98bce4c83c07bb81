package cache

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// table finds the entries of a shard by their keys. Reading takes no lock: a hit must not write to memory that all
// processors share. Writing is done with the shard locked.
//
// It is a hash table with open addressing after the Swiss tables of abseil: entries are in groups with a byte of their
// hash each, so that the key of hardly any other entry is compared. A group is one cache line. A reader that overlaps a
// change may miss an entry, which is then looked up again with the shard locked; what was removed before a reader began is
// never found.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	groups atomic.Pointer[[]group[K, V]]

	_ [cacheLine - 2*8]byte // what is written under the shard's lock is not on the line that hits read

	// Under the shard's lock.
	live int // entries
	used int // slots that are not empty, those of removed entries included
}

// cacheLine is how much memory processors pass on to each other at once.
const cacheLine = 64

// groupSize is how many entries are in a group; with the tags they take 64 bytes.
const groupSize = 7

type group[K comparable, V any] struct {
	tags    atomic.Uint64 // a byte for each entry, and one that is always tagRemoved
	entries [groupSize]atomic.Pointer[entry[K, V]]
}

// The tag of a slot with an entry has its highest bit set, and seven bits of the hash.
const (
	tagEmpty   = 0x00
	tagRemoved = 0x01 // the search goes on
	tagEntry   = 0x80

	lowBits   = 0x0101010101010101
	highBits  = 0x8080808080808080
	emptyTags = tagRemoved << (8 * groupSize)
)

func (t *table[K, V]) init(seed maphash.Seed) {
	t.seed = seed
	t.groups.Store(newGroups[K, V](1))
}

func newGroups[K comparable, V any](n int) *[]group[K, V] {
	groups := make([]group[K, V], n)
	for i := range groups {
		groups[i].tags.Store(emptyTags)
	}
	return &groups
}

// hash is the hash of a key for this cache: its low ten bits pick the shard, others the group and the tag.
func (t *table[K, V]) hash(key K) uint64 { return maphash.Comparable(t.seed, key) }

func tagOf(hash uint64) uint64 { return tagEntry | hash>>57 }

// home is where the search for a hash begins.
func home(hash uint64, groups int) int {
	return int(uint64(uint32(hash>>20)) * uint64(groups) >> 32) //nolint:gosec // less than groups
}

// withTag marks the bytes of a word that equal a tag; rarely one above such a byte, too.
func withTag(tags, tag uint64) uint64 {
	x := tags ^ lowBits*tag
	return (x - lowBits) &^ x & highBits
}

// find returns the entry of a key, or nil. It needs no lock.
func (t *table[K, V]) find(hash uint64, key K) *entry[K, V] {
	groups := *t.groups.Load()
	tag := tagOf(hash)
	at := home(hash, len(groups))
	for range groups {
		g := &groups[at]
		tags := g.tags.Load()
		for match := withTag(tags, tag); match != 0; match &= match - 1 {
			slot := bits.TrailingZeros64(match) / 8
			if slot == groupSize {
				break
			}
			if e := g.entries[slot].Load(); e != nil && e.key == key {
				return e
			}
		}

		if withTag(tags, tagEmpty) != 0 {
			return nil
		}
		if at++; at == len(groups) {
			at = 0
		}
	}
	return nil
}

// insert adds an entry whose key is not there. The shard is locked.
func (t *table[K, V]) insert(hash uint64, e *entry[K, V]) {
	groups := *t.groups.Load()
	if t.used+1 > maxUsed(len(groups)) {
		groups = t.rebuild()
	}
	t.used += occupy(groups, hash, e)
	t.live++
}

// maxUsed is how many slots of a table may be in use.
func maxUsed(groups int) int { return groups * groupSize * 7 / 8 }

// occupy puts an entry into the first slot that is free, and returns 1 if that was an empty one.
func occupy[K comparable, V any](groups []group[K, V], hash uint64, e *entry[K, V]) (used int) {
	at := home(hash, len(groups))
	for {
		g := &groups[at]
		tags := g.tags.Load()

		for slot := range groupSize {
			shift := 8 * slot
			old := tags >> shift & 0xff
			if old >= tagEntry {
				continue
			}
			g.entries[slot].Store(e)
			g.tags.Store(tags&^(0xff<<shift) | tagOf(hash)<<shift)
			if old == tagEmpty {
				return 1
			}
			return 0
		}

		if at++; at == len(groups) {
			at = 0
		}
	}
}

// remove takes an entry out, and reports whether it was there. The shard is locked.
func (t *table[K, V]) remove(hash uint64, e *entry[K, V]) bool {
	groups := *t.groups.Load()
	at := home(hash, len(groups))

	for range groups {
		g := &groups[at]
		tags := g.tags.Load()
		for slot := range groupSize {
			if g.entries[slot].Load() != e {
				continue
			}
			// Searches end at this group already if it has an empty slot.
			shift, tag := 8*slot, uint64(tagRemoved)
			if withTag(tags, tagEmpty) != 0 {
				tag = tagEmpty
				t.used--
			}
			g.entries[slot].Store(nil)
			g.tags.Store(tags&^(0xff<<shift) | tag<<shift)
			t.live--
			if len(groups) > 4 && t.live*4 < len(groups)*groupSize {
				t.rebuild()
			}
			return true
		}

		if withTag(tags, tagEmpty) != 0 {
			return false
		}
		if at++; at == len(groups) {
			at = 0
		}
	}
	return false
}

// rebuild makes new groups for what is there and a quarter more. Readers go on in the old ones for a moment: what they find
// there was held when they began.
func (t *table[K, V]) rebuild() []group[K, V] {
	want := t.live + t.live/4 + groupSize/2
	n := want*8/(7*groupSize) + 1
	groups := newGroups[K, V](n)
	t.used = 0
	for e := range t.all {
		t.used += occupy(*groups, t.hash(e.key), e)
	}
	t.groups.Store(groups)
	return *groups
}

// all yields every entry. The shard is locked.
func (t *table[K, V]) all(yield func(*entry[K, V]) bool) {
	groups := *t.groups.Load()
	for i := range groups {
		for slot := range groupSize {
			if e := groups[i].entries[slot].Load(); e != nil && !yield(e) {
				return
			}
		}
	}
}
