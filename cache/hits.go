package cache

import (
	"sync/atomic"
	"unsafe"
)

// hitCounter counts what is read without a lock. It is split so that readers on different processors seldom write to the
// same cache line.
type hitCounter struct{ stripes []hitStripe }

type hitStripe struct {
	values, absent, stale atomic.Int64

	_ [cacheLine - 3*8]byte
}

// hitStripes is how many there are, on every machine: with few of them two processors that meet in one are not rare.
const hitStripes = 64

func newHitCounter() hitCounter { return hitCounter{make([]hitStripe, hitStripes)} }

// count counts one hit. The stripe is that of the goroutine: its stack's address differs from those of others.
func (h *hitCounter) count(absent, stale bool) {
	var here byte
	at := uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9e3779b97f4a7c15 //nolint:gosec // it is never turned back
	s := &h.stripes[at>>58&(hitStripes-1)]
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
