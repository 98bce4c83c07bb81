package bus

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// subscription is one subscriber and the bounded queue before it. A goroutine works the queue off; it lives only while
// there is something in it, so an idle subscription costs none.
type subscription struct {
	topic        string
	subscriber   Subscriber
	direct       bool // one of our own caches: called on the spot
	independent  bool // what it has taken proves nothing
	limit        int
	registry     *registry
	needsHistory atomic.Bool   // a historian that does not know what the log holds
	events       *atomic.Int64 // delivered of the topic, shared by its subscriptions

	mu      sync.Mutex
	queue   []item
	busy    bool   // the goroutine runs
	passed  uint64 // newest barrier passed
	behind  bool   // a barrier is in the queue or before it
	gone    bool
	goneNow chan struct{}
}

// item is one entry of a queue: a delivery, a reset, or a barrier.
type item struct {
	kind     itemKind
	delivery Delivery
	reason   Reason
	barrier  uint64
}

type itemKind uint8

const (
	itemDelivery itemKind = iota
	itemReset
	itemBarrier
)

func (s *subscription) deliver(d Delivery) {
	if s.direct {
		s.subscriber.Invalidate(d)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= s.limit {
		s.registry.stats.overflows.Add(1)
		s.replaceWithReset(ReasonOverflow)
		return
	}
	s.push(item{kind: itemDelivery, delivery: d})
}

func (s *subscription) reset(r Reason) {
	if s.direct {
		s.subscriber.Reset(r)
		s.wantHistory()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceWithReset(r)
}

// wantHistory notes that a historian knows nothing of what was before now.
func (s *subscription) wantHistory() {
	if _, ok := s.subscriber.(hook.Historian); !ok {
		return
	}
	s.needsHistory.Store(true)
	select {
	case s.registry.historyWanted <- struct{}{}:
	default:
	}
}

// replaceWithReset puts a Reset in the place of everything that waits: it makes the details pointless. The lock is held.
func (s *subscription) replaceWithReset(r Reason) {
	clear(s.queue)
	s.queue = s.queue[:0]
	s.push(item{kind: itemReset, reason: r})
}

// barrier notes that all before it count as applied once the queue has come this far. It reports whether that is so
// already.
func (s *subscription) barrier(seq uint64) bool {
	if s.direct || s.independent {
		return true
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.busy && len(s.queue) == 0 {
		s.passed = seq
		return true
	}

	s.behind = true
	if n := len(s.queue); n > 0 && s.queue[n-1].kind == itemBarrier {
		s.queue[n-1].barrier = seq // the later one says more
	} else {
		s.push(item{kind: itemBarrier, barrier: seq})
	}

	return false
}

// progress is the newest barrier this subscription has passed, newest if nothing is before it.
func (s *subscription) progress(newest uint64) uint64 {
	if s.direct || s.independent {
		return newest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.behind {
		return newest
	}
	return s.passed
}

// push appends, and starts a goroutine that works the queue off if there is none. The lock is held.
func (s *subscription) push(i item) {
	if s.gone {
		return
	}
	s.queue = append(s.queue, i)
	if !s.busy {
		s.busy = true
		s.registry.working.begin()
		go s.work()
	}
}

func (s *subscription) work() {
	defer s.registry.working.end()
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.gone {
			s.busy, s.queue = false, nil
			s.mu.Unlock()
			return
		}

		i := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()

		switch i.kind {
		case itemBarrier:
			s.mu.Lock()
			s.passed = i.barrier
			s.behind = false
			for _, later := range s.queue {
				s.behind = s.behind || later.kind == itemBarrier
			}

			s.mu.Unlock()
			s.registry.onPassed()
		case itemDelivery:
			if s.call(func() { s.subscriber.Invalidate(i.delivery) }) {
				s.reset(ReasonPanic)
			}
		case itemReset:
			s.callReset(i.reason)
		}
	}
}

// callReset calls Reset until it returns without a panic: a subscriber that did not reset must not be taken for one
// that did, so until then the pod does not get fresh.
func (s *subscription) callReset(r Reason) {
	for wait := 100 * time.Millisecond; s.call(func() { s.subscriber.Reset(r) }); wait = min(2*wait, 5*time.Second) {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.goneNow:
			t.Stop()
			return
		}
	}
}

// call reports whether f panicked.
func (s *subscription) call(f func()) (panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
			s.registry.stats.panics.Add(1)
			s.registry.log.Error("subscriber panicked", slog.String("topic", s.topic), slog.Any("panic", v))
		}
	}()
	f()
	return false
}

// end drops what waits; no barrier waits for this subscription any more. It reports whether one did.
func (s *subscription) end() (behind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	behind = s.behind
	s.gone, s.behind, s.queue = true, false, nil
	close(s.goneNow)
	return behind
}

func newSubscription(r *registry, topic string, subscriber Subscriber, limit int) *subscription {
	alone := false
	for {
		inner, ok := subscriber.(independent)
		if !ok {
			break
		}
		subscriber, alone = inner.Subscriber, true
	}
	_, direct := subscriber.(hook.Synchronous)
	return &subscription{
		topic: topic, subscriber: subscriber, direct: direct, independent: alone, limit: limit, registry: r, goneNow: make(chan struct{}),
	}
}
