package bus

import (
	"log/slog"
	"maps"
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

	mu      sync.Mutex // for changing the map
	topics  atomic.Pointer[map[string][]*subscription]
	working workers

	historyWanted chan struct{} // a subscriber needs to know what the log holds
}

func newRegistry(log *slog.Logger, stats *counters, limit int, onPassed func()) *registry {
	r := &registry{log: log, stats: stats, limit: limit, onPassed: onPassed, historyWanted: make(chan struct{}, 1)}
	r.topics.Store(&map[string][]*subscription{})
	return r
}

func (r *registry) subscribe(topic string, subscriber Subscriber) (unsubscribe func()) {
	s := newSubscription(r, topic, subscriber, r.limit)
	r.change(func(topics map[string][]*subscription) {
		s.events = r.counter(topic)
		topics[topic] = append(slices.Clip(topics[topic]), s)
	})
	s.wantHistory()
	return sync.OnceFunc(func() {
		r.change(func(topics map[string][]*subscription) {
			rest := slices.DeleteFunc(slices.Clone(topics[topic]), func(other *subscription) bool { return other == s })
			if len(rest) == 0 {
				delete(topics, topic)
			} else {
				topics[topic] = rest
			}
		})
		s.end()
		r.onPassed() // it may have been the last that was behind
	})
}

func (r *registry) change(f func(map[string][]*subscription)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	topics := maps.Clone(*r.topics.Load())
	f(topics)
	r.topics.Store(&topics)
}

// deliver passes an event to every subscription of its topic.
func (r *registry) deliver(d Delivery) {
	for i, s := range (*r.topics.Load())[d.Topic] {
		if i == 0 {
			s.events.Add(1)
		}
		s.deliver(d)
	}
}

// reset passes a reset to every subscription.
func (r *registry) reset(reason Reason) {
	for _, subscriptions := range *r.topics.Load() {
		for _, s := range subscriptions {
			s.reset(reason)
		}
	}
}

// needHistory returns the subscriptions that need to know what the log holds, each once.
func (r *registry) needHistory() (some []*subscription) {
	for _, subscriptions := range *r.topics.Load() {
		for _, s := range subscriptions {
			if s.needsHistory.Swap(false) {
				some = append(some, s)
			}
		}
	}
	return some
}

// barrier reports whether every subscription has already applied all that came before.
func (r *registry) barrier(seq uint64) bool {
	all := true
	for _, subscriptions := range *r.topics.Load() {
		for _, s := range subscriptions {
			all = s.barrier(seq) && all
		}
	}
	return all
}

// progress is the newest barrier that every subscription has passed.
func (r *registry) progress(newest uint64) uint64 {
	least := newest
	for _, subscriptions := range *r.topics.Load() {
		for _, s := range subscriptions {
			least = min(least, s.progress(newest))
		}
	}
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
