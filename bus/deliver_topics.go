package bus

import (
	"cmp"
	"slices"
)

// TopicStats counts what a bus has delivered for one topic.
type TopicStats struct {
	Topic       string
	Events      int64 // deliveries since the first subscription, own ones included
	Subscribers int
	Queued      int // deliveries that wait for a subscriber; this module's caches need no queue
}

// stat returns what was delivered of each topic, by name.
func (r *registry) stat() []TopicStats {
	all := []TopicStats{}
	r.all(func(topic string, subscriptions []*subscription) {
		t := TopicStats{Topic: topic, Events: subscriptions[0].events.Load(), Subscribers: len(subscriptions)}
		for _, s := range subscriptions {
			t.Queued += s.waiting()
		}
		all = append(all, t)
	})
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
