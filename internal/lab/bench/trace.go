package main

import (
	"math/rand/v2"
	"slices"
)

// trace is a sequence of reads of keys, made for a cache of some size. The same seed makes the same trace.
type trace struct {
	name  string
	about string
	make  func(g *traceGen)
}

// traceGen is what a trace is made with.
type traceGen struct {
	*rand.Rand
	size int // of the cache
	n    int // reads
	keys []int
	cold int // the next key that was not read yet
}

// Keys of a trace that are not meant to be the same are this far apart.
const (
	traceKeys = 200_000 // that Zipf traces draw from
	coldKeys  = 100_000_000
	poolKeys  = 10_000_000
)

func (t trace) generate(size, n int, seed uint64) []int {
	g := &traceGen{Rand: rand.New(rand.NewPCG(seed, uint64(len(t.name)))), size: size, n: n, cold: coldKeys}
	t.make(g)
	return g.keys[:n]
}

func (g *traceGen) read(keys ...int) { g.keys = append(g.keys, keys...) }
func (g *traceGen) more() bool       { return len(g.keys) < g.n }

// fresh is a key that was not read before.
func (g *traceGen) fresh() int {
	g.cold++
	return g.cold
}

// zipf draws ranks with an exponent; rank 0 most often.
func (g *traceGen) zipf(s float64, keys int) func() int {
	z := rand.NewZipf(g.Rand, s, 1, uint64(keys-1))
	return func() int { return int(z.Uint64()) }
}

// traces are shapes of what caches are asked for. The first five are the plain ones; the others have the shapes of traces
// that papers about eviction publish, without their data.
var traces = []trace{
	{"zipf", "popularity after Zipf, exponent 1.01", func(g *traceGen) {
		for z := g.zipf(1.01, traceKeys); g.more(); {
			g.read(z())
		}
	}},
	{"scan", "zipf, and every 100,000 reads a scan of 30,000 keys that are not read again", func(g *traceGen) {
		for z := g.zipf(1.01, traceKeys); g.more(); {
			if g.read(z()); len(g.keys)%100_000 == 0 {
				for range 30_000 {
					g.read(g.fresh())
				}
			}
		}
	}},
	{"onehit", "zipf, and three reads in ten are of a key that is not read again", func(g *traceGen) {
		for z := g.zipf(1.01, traceKeys); g.more(); {
			if g.Float64() < 0.3 {
				g.read(g.fresh())
			} else {
				g.read(z())
			}
		}
	}},
	{"recency", "sessions: a user is active for a while, then gone", func(g *traceGen) {
		for i := 0; g.more(); i++ {
			g.read(i/20 + int(g.ExpFloat64()*float64(g.size)*0.6))
		}
	}},
	{"loop", "one after the other, round and round, 1.2 times the cache", func(g *traceGen) {
		for i := 0; g.more(); i++ {
			g.read(i % (g.size * 12 / 10))
		}
	}},
	{"drift", "popularity after Zipf whose keys change, as in social networks", func(g *traceGen) {
		z := g.zipf(1.1, traceKeys)
		for i := 0; g.more(); i++ {
			g.read(z() + i/50)
		}
	}},
	{"latest", "the newest rows most, and rows are added (YCSB's workload D)", func(g *traceGen) {
		z := g.zipf(1.05, traceKeys)
		for i := 0; g.more(); i++ {
			g.read(traceKeys + i/20 - z())
		}
	}},
	{"twopool", "pages of an index and rows in turn (the experiment of LRU-K, 1993)", func(g *traceGen) {
		for g.more() {
			g.read(g.IntN(g.size), coldKeys+g.IntN(50*g.size))
		}
	}},
	{"phases", "a workstation: working sets, loops and scans one after the other (like P1 to P14 of ARC, 2003)", makePhases},
	{"cdn", "a long tail, half of it short-lived objects (like the CDN traces of S3-FIFO, 2023)", makeCDN},
	{"oltp", "rows read several times within a transaction, and a journal (like OLTP of ARC)", func(g *traceGen) {
		z, journal := g.zipf(1.03, 2*traceKeys), g.fresh()
		for g.more() {
			row := z()
			for range 1 + g.IntN(4) {
				if g.read(row); g.Float64() < 0.3 {
					g.read(journal)
				}
				if g.Float64() < 0.2 {
					journal = g.fresh()
				}
			}
		}
	}},
	{"loops", "loops of several lengths at once (like gli, cs and ps of LIRS, 2002)", func(g *traceGen) {
		lengths := []int{g.size / 4, g.size * 3 / 4, g.size * 3 / 2, g.size * 3}
		share := []float64{0.4, 0.7, 0.9, 1}
		at := make([]int, len(lengths))
		for g.more() {
			x := g.Float64()
			i := slices.IndexFunc(share, func(s float64) bool { return x < s })
			for range 50 {
				g.read(i*poolKeys + at[i]%lengths[i])
				at[i]++
			}
		}
	}},
	{"switch", "a working set of 0.8 times the cache, and then another one", func(g *traceGen) {
		for phase := 0; g.more(); phase++ {
			for range 3 * g.size {
				g.read(phase*g.size + g.IntN(g.size*8/10))
			}
		}
	}},
}

func makePhases(g *traceGen) {
	for phase := 0; g.more(); phase++ {
		switch phase % 4 {
		case 0, 2:
			z, from := g.zipf(1.05, 10*g.size), g.IntN(5)*3*g.size
			for range 6 * g.size {
				g.read(from + z())
			}
		case 1:
			length, from := g.size/2+g.IntN(g.size), poolKeys+g.IntN(3)*3*g.size
			for i := range 4 * length {
				g.read(from + i%length)
			}
		case 3:
			for range 2 * g.size {
				g.read(g.fresh())
			}
		}
	}
}

func makeCDN(g *traceGen) {
	type object struct{ key, left int }
	var live []object
	for z := g.zipf(1.001, 5*traceKeys); g.more(); {
		x := g.Float64()
		switch {
		case x < 0.55:
			g.read(z())
		case x < 0.75 || len(live) == 0:
			key := g.fresh()
			if g.read(key); g.Float64() < 0.4 {
				live = append(live, object{key, 1 + g.IntN(6)})
			}
		default:
			i := len(live) - 1 - min(int(g.ExpFloat64()*float64(g.size)/20), len(live)-1)
			g.read(live[i].key)
			if live[i].left--; live[i].left == 0 {
				live = slices.Delete(live, i, i+1)
			}
		}

		if len(live) > g.size/2 {
			live = live[len(live)/4:]
		}
	}
}
