package cache

// ghosts are the hashes of keys whose entries were evicted, the newest of them: a key that comes back soon would have been
// worth keeping. They take four bytes each. A slot holds sixteen bits of the hash and when it was written, so another key
// is taken for a ghost once in some thousand times, and a few ghosts are forgotten early.
type ghosts struct {
	size int // how many are remembered
	unit int // additions per tick, so that sixteen bits of ticks are enough

	slots []uint32 // in buckets; made with the first
	added int
}

// ghostBucket is how many slots a key can be in: they are one half of a cache line.
const ghostBucket = 8

func newGhosts(size int) ghosts { return ghosts{size: size, unit: size/4096 + 1} }

// tick is the present time, which only additions move.
func (g *ghosts) tick() uint16 { return uint16(g.added / g.unit) } //nolint:gosec // it wraps

func (g *ghosts) bucket(hash uint64) []uint32 {
	n := len(g.slots) / ghostBucket
	at := home(hash, n) * ghostBucket
	return g.slots[at : at+ghostBucket]
}

// print is what a slot holds of a hash; never zero.
func ghostPrint(hash uint64) uint32 { return uint32(hash>>10)%0xffff + 1 } //nolint:gosec // some bits are enough

// age is how many additions ago a slot was written, about; more than size: it is free.
func (g *ghosts) age(slot uint32) int {
	if slot == 0 {
		return g.size + 1
	}
	return int(g.tick()-uint16(slot>>16)) * g.unit //nolint:gosec // it wraps
}

// add remembers a hash as if it had been added some additions ago.
func (g *ghosts) add(hash uint64, ago int) {
	if g.slots == nil {
		n := g.size/ghostBucket + g.size/(8*ghostBucket) + 1
		g.slots = make([]uint32, n*ghostBucket)
	}
	g.added++

	bucket := g.bucket(hash)
	oldest, oldestAge := 0, -1
	for i, slot := range bucket {
		if age := g.age(slot); age > oldestAge {
			oldest, oldestAge = i, age
		}
	}

	at := g.tick() - uint16(ago/g.unit) //nolint:gosec // it wraps
	bucket[oldest] = uint32(at)<<16 | ghostPrint(hash)
}

// take forgets a hash, and returns how many additions ago it was remembered.
func (g *ghosts) take(hash uint64) (age int, ok bool) {
	if g.slots == nil {
		return 0, false
	}

	want := ghostPrint(hash)
	bucket := g.bucket(hash)
	for i, slot := range bucket {
		if slot&0xffff != want {
			continue
		}
		if age = g.age(slot); age <= g.size {
			bucket[i] = 0
			return age, true
		}
	}
	return 0, false
}
