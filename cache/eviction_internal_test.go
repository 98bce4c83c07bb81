package cache

import (
	"hash/maphash"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// queued is a queue with a map, as a shard has them.
type queued struct {
	*queue[int, int]
	held map[int]*entry[int, int]
	dead map[int]bool
}

func newQueued(t *testing.T, size int, how Eviction) *queued {
	t.Helper()
	q, err := newQueue[int, int](size, how)
	require.NoError(t, err)
	seed := maphash.MakeSeed()
	w := &queued{queue: q, held: map[int]*entry[int, int]{}, dead: map[int]bool{}}
	q.hash = func(k int) uint64 { return maphash.Comparable(seed, k) }
	q.dead = func(e *entry[int, int]) bool { return w.dead[e.key] }
	q.evict = func(e *entry[int, int]) { delete(w.held, e.key) }
	return w
}

// get reports whether a key was held, and has it held.
func (w *queued) get(k int) bool {
	if e := w.held[k]; e != nil {
		e.mark()
		if w.lru {
			w.touch(e)
		}
		return true
	}
	e := &entry[int, int]{key: k}
	w.add(e)
	w.held[k] = e
	return false
}

func (w *queued) hits(keys []int) (n int) {
	for _, k := range keys {
		if w.get(k) {
			n++
		}
	}
	return n
}

// Whatever comes, a queue keeps to its size, and what it holds is in one of its lists.
func TestQueue_KeepsToItsSize(t *testing.T) {
	t.Parallel()
	for _, how := range []Eviction{EvictAdaptive, EvictLRU} {
		for _, size := range []int{1, 2, 3, 7, 100} {
			w, r := newQueued(t, size, how), rand.New(rand.NewPCG(1, uint64(size)))
			for range 20_000 {
				k := int(r.ExpFloat64() * float64(size))
				switch r.IntN(20) {
				case 0:
					if e := w.held[k]; e != nil {
						w.remove(e)
						delete(w.held, k)
					}
				case 1:
					w.dead[k] = !w.dead[k]
				case 2:
					before, keep := len(w.held), w.held[k]
					if w.evictOne(keep) {
						require.Len(t, w.held, before-1)
					} else {
						require.True(t, before == 0 || before == 1 && keep != nil)
					}
					require.True(t, keep == nil || w.held[k] == keep)
				default:
					w.get(k)
					require.True(t, w.get(k), "%v of %d: what was just added is held", how, size)
				}

				require.Equal(t, len(w.held), w.len())
				require.LessOrEqual(t, w.len(), size)
				require.True(t, w.target >= w.leastTarget && w.target <= w.mostTarget)
			}

			for range size {
				w.evictOne(nil)
			}

			require.Empty(t, w.held)
			require.Zero(t, w.len())
		}
	}
}

// The least recently used entry goes first.
func TestQueue_LRU(t *testing.T) {
	t.Parallel()
	w, r := newQueued(t, 50, EvictLRU), rand.New(rand.NewPCG(3, 4))
	var order []int // the least recently used first
	for range 20_000 {
		k := int(r.ExpFloat64() * 40)
		for i, other := range order {
			if other == k {
				order = append(order[:i], order[i+1:]...)
				break
			}
		}

		if order = append(order, k); len(order) > 50 {
			order = order[1:]
		}

		w.get(k)
		require.Len(t, w.held, len(order))
		require.Contains(t, w.held, order[0])
	}
}

// What is read again and again survives a scan of everything else.
func TestQueue_ScanResistance(t *testing.T) {
	t.Parallel()
	const size = 1000
	hot := make([]int, size*8/10)
	for i := range hot {
		hot[i] = i
	}

	scan := make([]int, 20*size)
	for i := range scan {
		scan[i] = 1_000_000 + i
	}

	for how, least := range map[Eviction]int{EvictAdaptive: len(hot) * 95 / 100, EvictLRU: 0} {
		w := newQueued(t, size, how)
		for range 3 {
			w.hits(hot)
		}

		w.hits(scan)
		hits := w.hits(hot)
		require.GreaterOrEqual(t, hits, least, how)

		if how == EvictLRU {
			require.Zero(t, hits)
		}
	}
}

// A loop a little larger than the cache is mostly held.
func TestQueue_Loop(t *testing.T) {
	t.Parallel()
	const size = 1000
	loop := make([]int, size*12/10)
	for i := range loop {
		loop[i] = i
	}
	w := newQueued(t, size, EvictAdaptive)
	for range 50 {
		w.hits(loop)
	}
	require.Greater(t, w.hits(loop), len(loop)*70/100)
}

// When other keys are in use than before, those become the ones that are held.
func TestQueue_FollowsAChange(t *testing.T) {
	t.Parallel()
	const size = 1000
	w, r := newQueued(t, size, EvictAdaptive), rand.New(rand.NewPCG(5, 6))
	for phase := range 5 {
		for range 10 * size {
			w.get(phase*size + r.IntN(size*8/10))
		}

		hits := 0
		for range size {
			if w.get(phase*size + r.IntN(size*8/10)) {
				hits++
			}
		}

		require.Greater(t, hits, size*97/100, "phase %d", phase)
	}
}

// Probation grows where recent keys come back, and shrinks where old ones do.
func TestQueue_Adapts(t *testing.T) {
	t.Parallel()
	const size = 1000
	w, r := newQueued(t, size, EvictAdaptive), rand.New(rand.NewPCG(7, 8))
	for i := range 200 * size {
		w.get(i/20 + int(r.ExpFloat64()*size*0.6))
	}
	recent := w.target
	require.Greater(t, recent, size/firstShare*2)
	z := rand.NewZipf(r, 1.01, 1, 100*size)
	for range 200 * size {
		w.get(1_000_000 + int(z.Uint64()))
	}
	require.Less(t, w.target, recent/2)
}

// An entry that is in use and is invalidated is not a newcomer when it is loaded again: a scan does not push it out.
func TestQueue_InvalidatedWhileInUse(t *testing.T) {
	t.Parallel()
	const size = 1000
	w := newQueued(t, size, EvictAdaptive)
	for i := range 4 * size {
		w.get(-1)
		w.get(i)
	}

	w.remove(w.held[-1])
	delete(w.held, -1)
	w.get(-1)

	for i := range size / 2 {
		w.get(10*size + i)
	}

	require.Contains(t, w.held, -1)
}

// What is no longer valid goes before anything else that its queue comes to, however often it was read.
func TestQueue_DeadEntriesGo(t *testing.T) {
	t.Parallel()
	const size = 100
	w := newQueued(t, size, EvictAdaptive)
	for range 5 {
		for k := range size {
			w.get(k)
		}
	}

	for k := range size {
		w.dead[k] = true
	}

	for k := range size {
		w.get(1000 + k)
	}

	for k := range size {
		require.NotContains(t, w.held, k)
	}
}
