package cachetest

import (
	"sync"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// subscription is one subscriber. This module's own are called on the spot, as a *bus.Postgres does, and foreign ones
// from a goroutine that lives while there is something to deliver.
type subscription struct {
	subscriber bus.Subscriber
	direct     bool

	mu    sync.Mutex
	queue []func()
	busy  bool
	gone  bool
}

func newSubscription(s bus.Subscriber) *subscription {
	_, direct := s.(hook.Synchronous)
	return &subscription{subscriber: s, direct: direct}
}

func (s *subscription) deliver(d bus.Delivery) { s.do(func() { s.subscriber.Invalidate(d) }) }

func (s *subscription) reset(r bus.Reason) { s.do(func() { s.subscriber.Reset(r) }) }

func (s *subscription) do(f func()) {
	if s.direct {
		f()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, f)
	if !s.busy {
		s.busy = true
		go s.work()
	}
}

func (s *subscription) work() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.gone {
			s.busy, s.queue = false, nil
			s.mu.Unlock()
			return
		}

		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()

		if panics(f) {
			panics(func() { s.subscriber.Reset(bus.ReasonPanic) })
		}
	}
}

// panics reports whether f did.
func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func (s *subscription) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}
