package bus

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// registry keeps the subscriptions of a bus by topic. Reading it takes no lock: publishers and the listener meet here.
type registry struct {
	log      *slog.Logger
	stats    *counters
	limit    int
	onPassed func() // a queue has passed a barrier

	mu     sync.Mutex // for changing topics
	topics sync.Map   // topic to []*subscription, none of them empty; what lies within a slice's length never changes

	working workers // queues being worked off

	historyWanted chan struct{} // a subscriber needs to know what the log holds
}

func newRegistry(log *slog.Logger, stats *counters, limit int, onPassed func()) *registry {
	return &registry{log: log, stats: stats, limit: limit, onPassed: onPassed, historyWanted: make(chan struct{}, 1)}
}

// of returns the subscriptions of a topic.
func (r *registry) of(topic string) []*subscription {
	if v, ok := r.topics.Load(topic); ok {
		return v.([]*subscription) //nolint:errcheck // nothing else is stored
	}
	return nil
}

// all calls f for the subscriptions of each topic.
func (r *registry) all(f func(topic string, subscriptions []*subscription)) {
	r.topics.Range(func(topic, subscriptions any) bool {
		f(topic.(string), subscriptions.([]*subscription)) //nolint:errcheck // nothing else is stored
		return true
	})
}

func (r *registry) subscribe(topic string, subscriber Subscriber) (unsubscribe func()) {
	s := newSubscription(r, topic, subscriber, r.limit)

	// Appending leaves what readers see of the slice as it is.
	r.mu.Lock()
	present := r.of(topic)
	if len(present) > 0 {
		s.events = present[0].events
	} else {
		s.events = new(atomic.Int64)
	}
	r.topics.Store(topic, append(present, s))
	r.mu.Unlock()

	s.wantHistory()
	return sync.OnceFunc(func() { r.unsubscribe(s) })
}

func (r *registry) unsubscribe(s *subscription) {
	r.mu.Lock()
	rest := slices.DeleteFunc(slices.Clone(r.of(s.topic)), func(other *subscription) bool { return other == s })
	if len(rest) == 0 {
		r.topics.Delete(s.topic)
	} else {
		r.topics.Store(s.topic, rest)
	}
	r.mu.Unlock()

	if behind := s.end(); behind {
		r.onPassed() // it may have been the last that was
	}
}

// deliver passes an event to every subscription of its topic.
func (r *registry) deliver(d Delivery) {
	for i, s := range r.of(d.Topic) {
		if i == 0 {
			s.events.Add(1)
		}
		s.deliver(d)
	}
}

// reset passes a reset to every subscription.
func (r *registry) reset(reason Reason) {
	r.all(func(_ string, subscriptions []*subscription) {
		for _, s := range subscriptions {
			s.reset(reason)
		}
	})
}

// needHistory returns the subscriptions that need to know what the log holds, each once.
func (r *registry) needHistory() (some []*subscription) {
	r.all(func(_ string, subscriptions []*subscription) {
		for _, s := range subscriptions {
			if s.needsHistory.Swap(false) {
				some = append(some, s)
			}
		}
	})
	return some
}

// barrier reports whether every subscription has already applied all that came before.
func (r *registry) barrier(seq uint64) bool {
	passed := true
	r.all(func(_ string, subscriptions []*subscription) {
		for _, s := range subscriptions {
			passed = s.barrier(seq) && passed
		}
	})
	return passed
}

// progress is the newest barrier that every subscription has passed.
func (r *registry) progress(newest uint64) uint64 {
	least := newest
	r.all(func(_ string, subscriptions []*subscription) {
		for _, s := range subscriptions {
			least = min(least, s.progress(newest))
		}
	})
	return least
}

// drain waits until all queues are worked off, at most for the given time: a subscriber cannot be interrupted.
func (r *registry) drain(most time.Duration) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-r.working.whenIdle():
		return true
	case <-t.C:
		return false
	}
}
