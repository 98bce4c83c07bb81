package main

import (
	"hash/maphash"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A state is one moment of a small world. States are not changed once they are made.
type state interface {
	// append appends what distinguishes this state from all others of its world: equal bytes mean equal futures.
	append(b []byte) []byte
	// next returns every step that is possible now, each with the state that it leads to.
	next() iter.Seq2[step, state]
	// violation returns a description of the broken guarantee, "" if none is.
	violation() string
}

// A step is what happens between two states.
type step struct {
	what string // a constant
	pod  int8   // the pod that it happens to; -1 for the database
	item int8   // the transaction or load concerned; -1 for none
}

// stepList collects the possible next steps of a state.
type stepList []step

// add appends a step if it is possible.
func (l *stepList) add(possible bool, what string, pod, item int) {
	if possible {
		*l = append(*l, step{what, int8(pod), int8(item)})
	}
}

// result is what a search found.
type result struct {
	states, steps int64
	depth         int    // of the deepest state
	whole         bool   // every reachable state was visited
	violation     string // of the first state that breaks a guarantee, empty if none does
	trace         []step // the shortest way there
}

// key is a 128-bit hash of a state. With 10⁸ states the probability of any collision is below 10⁻²².
type key [2]uint64

// seeds are random for each process. Hashes are not compared across processes.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func keyOf(b []byte) key {
	return key{maphash.Bytes(seeds[0], b), maphash.Bytes(seeds[1], b)}
}

// visited stores each state's hash and the hash of the state it was first reached from.
type visited struct {
	shards [64]struct {
		sync.Mutex
		from map[key]key
	}
}

func newVisited() *visited {
	v := &visited{}
	for i := range v.shards {
		v.shards[i].from = make(map[key]key)
	}

	return v
}

// add adds k, and reports whether it is new.
func (v *visited) add(k, from key) bool {
	s := &v.shards[k[0]%uint64(len(v.shards))]
	s.Lock()
	defer s.Unlock()

	if _, ok := s.from[k]; ok {
		return false
	}
	s.from[k] = from

	return true
}

func (v *visited) parent(k key) key {
	return v.shards[k[0]%uint64(len(v.shards))].from[k]
}

// search goes through all states that can be reached from first, breadth first, so the first violation found is one
// with the shortest trace. It ends there, when there is nothing left, or after limit states. Progress is called after
// each level.
func search(first state, limit int64, progress func(depth int, states int64, width int)) result {
	var (
		seen     = newVisited()
		r        result
		states   atomic.Int64
		steps    atomic.Int64
		root     = keyOf(first.append(nil))
		frontier = []state{first}
	)
	seen.add(root, key{})
	states.Store(1)

	for len(frontier) > 0 {
		broken, deeper := expand(frontier, seen, &states, &steps)
		r.states, r.steps = states.Load(), steps.Load()

		if broken != nil {
			r.depth++
			r.violation = broken.violation()
			r.trace = retrace(first, seen, root, keyOf(broken.append(nil)))

			return r
		}
		if len(deeper) > 0 {
			r.depth++
		}
		if progress != nil {
			progress(r.depth, r.states, len(deeper))
		}
		if r.states > limit {
			return r
		}
		frontier = deeper
	}
	r.whole = true

	return r
}

// expand takes every step from every state of a level. It returns the states that are new, or one that breaks a
// guarantee.
func expand(level []state, seen *visited, states, steps *atomic.Int64) (broken state, deeper []state) {
	const batch = 64

	var (
		group sync.WaitGroup
		mu    sync.Mutex
		taken atomic.Int64
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			var found []state
			var buffer []byte
			var bad state

			for bad == nil {
				end := int(taken.Add(batch))
				from := end - batch
				if from >= len(level) {
					break
				}
				for _, s := range level[from:min(end, len(level))] {
					buffer = s.append(buffer[:0])
					parent := keyOf(buffer)

					for _, n := range s.next() {
						steps.Add(1)
						buffer = n.append(buffer[:0])
						if !seen.add(keyOf(buffer), parent) {
							continue
						}
						states.Add(1)
						found = append(found, n)
						if n.violation() != "" {
							bad = n
						}
					}
				}
			}

			mu.Lock()
			defer mu.Unlock()
			deeper = append(deeper, found...)
			if broken == nil {
				broken = bad
			}
		})
	}
	group.Wait()

	return broken, deeper
}

// retrace returns the steps from the first state to the one with this hash. Only hashes of the states in between are
// stored, so it takes the steps again.
func retrace(first state, seen *visited, root, last key) []step {
	way := []key{last}
	for k := last; k != root; {
		k = seen.parent(k)
		way = append(way, k)
	}
	slices.Reverse(way)

	var trace []step
	at := first
	for _, k := range way[1:] {
		for s, n := range at.next() {
			if keyOf(n.append(nil)) == k {
				trace, at = append(trace, s), n
				break
			}
		}
	}

	return trace
}
