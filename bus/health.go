package bus

import (
	"sync"
	"sync/atomic"
	"time"
)

// health is the state of a bus as others see it: what the control loop last found, corrected by what is proven now.
type health struct {
	fresh      *freshness
	staleAfter time.Duration
	state      atomic.Int32  // as the control loop last found it
	ready      chan struct{} // closed by setReady
	setReady   func()
}

func newHealth(fresh *freshness, staleAfter time.Duration) *health {
	h := &health{fresh: fresh, staleAfter: staleAfter, ready: make(chan struct{})}
	h.setReady = sync.OnceFunc(func() { close(h.ready) })
	return h
}

// set notes the state of the connections.
func (h *health) set(s State) { h.state.Store(int32(s)) }

// connections returns the state of the connections alone.
func (h *health) connections() State { return State(h.state.Load()) }

// isFresh takes one atomic load and one reading of the clock.
func (h *health) isFresh() bool {
	age := h.fresh.age()
	return age >= 0 && age < h.staleAfter
}

// current returns the state of the bus.
func (h *health) current() State {
	state := h.connections()
	switch {
	case state == Closed || state == Starting || h.isFresh():
		return state
	case h.fresh.age() < 0:
		return CatchingUp
	}
	return Stale
}
