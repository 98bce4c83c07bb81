package cache

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// hitCounter counts what is read without a lock. It is split so that readers on different processors seldom write to the
// same cache line.
type hitCounter struct{ stripes []hitStripe }

type hitStripe struct {
	values, absent, stale atomic.Int64

	_ [64 - 3*8]byte
}

const maxStripes = 64

func newHitCounter() hitCounter {
	n := 1 << bits.Len(uint(4*runtime.GOMAXPROCS(0)-1)) //nolint:gosec // positive
	return hitCounter{make([]hitStripe, min(n, maxStripes))}
}

// count counts one hit. The stripe is that of the goroutine: its stack's address tells it from others.
func (h *hitCounter) count(absent, stale bool) {
	var here byte
	at := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9e3779b97f4a7c15 //nolint:gosec // it is never turned back
	s := &h.stripes[at>>58&uint64(len(h.stripes)-1)]
	if absent {
		s.absent.Add(1)
	} else {
		s.values.Add(1)
	}
	if stale {
		s.stale.Add(1)
	}
}

// countStale counts a value that was served because its load failed.
func (h *hitCounter) countStale() { h.stripes[0].stale.Add(1) }

func (h *hitCounter) sum() (values, absent, stale int64) {
	for i := range h.stripes {
		s := &h.stripes[i]
		values += s.values.Load()
		absent += s.absent.Load()
		stale += s.stale.Load()
	}
	return values, absent, stale
}
