package cache

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// suspects remembers when the bus was last seen to be in sync, for serving what is held if a load fails. Entries of the
// epoch before the present one are suspects: nothing is known against them, and they may be served for as long after that
// time as they could have been without the reset.
//
// Only the epoch that ended because a new log began leaves suspects. After any other reset this pod counts as in
// sync with what it has missed, and a Confirm would not wait for it; after a new log no receipt of before can be
// confirmed, and none of it before the pod lease has passed.
type suspects struct {
	mu     sync.Mutex
	proof  time.Time // the newest proof that was seen in the present epoch
	epoch  uint32    // of suspects
	proven time.Time // the newest proof seen in that epoch; zero: there are no suspects
}

// seen notes a proof.
func (s *suspects) seen(proof time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proof = later(s.proof, proof)
}

// reset ends an epoch.
func (s *suspects) reset(ended uint32, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !keep:
		s.proven = time.Time{}
	case !s.proof.IsZero():
		s.epoch, s.proven = ended, s.proof
	}
	s.proof = time.Time{}
}

// of returns how long ago an epoch of suspects was last in sync; negative: it has none.
func (s *suspects) of(epoch uint32, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proven.IsZero() || s.epoch != epoch {
		return -1
	}
	return max(elapsed.Between(s.proven, now), 0)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
