package bus

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// TopicStats is what a bus has delivered of one topic that is subscribed to.
type TopicStats struct {
	Topic       string
	Events      int64 // deliveries since the topic was first subscribed to, own ones included
	Subscribers int
	Queued      int // deliveries that wait for a subscriber; our own caches never let one wait
}

// counter is what all subscriptions of a topic share; it ends with the last of them, so there are no more counters than
// topics in use.
func (r *registry) counter(topic string) *atomic.Int64 {
	if present := (*r.topics.Load())[topic]; len(present) > 0 {
		return present[0].events
	}
	return new(atomic.Int64)
}

func (r *registry) stat() []TopicStats {
	topics := *r.topics.Load()
	all := make([]TopicStats, 0, len(topics))
	for name, subscriptions := range topics {
		t := TopicStats{Topic: name, Events: subscriptions[0].events.Load(), Subscribers: len(subscriptions)}
		for _, s := range subscriptions {
			t.Queued += s.waiting()
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b TopicStats) int { return cmp.Compare(a.Topic, b.Topic) })
	return all
}

// waiting is how many deliveries and resets the subscriber has not taken yet.
func (s *subscription) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, i := range s.queue {
		if i.kind != itemBarrier {
			n++
		}
	}
	return n
}
