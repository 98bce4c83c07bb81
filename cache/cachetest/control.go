package cachetest

import (
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Pause makes this pod lag: events of others wait until Resume, or Step by Step. Its own it still has at once.
func (b *Bus) Pause() {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.paused = true
}

// Resume ends Pause; what waited and is due is delivered when it returns.
func (b *Bus) Resume() {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.paused = false
	b.flush()
}

// Step delivers the event that has waited longest, due or not, and answers whether there was one.
func (b *Bus) Step() bool {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	if len(b.inbox) == 0 {
		return false
	}
	b.next()
	b.cluster.settle()
	return true
}

// Waiting is how many deliveries wait.
func (b *Bus) Waiting() int {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	return len(b.inbox)
}

// SetLag makes events of others take so long to this pod, in their order; zero ends that for later ones.
func (b *Bus) SetLag(d time.Duration) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.lag = d
}

// Deliver publishes events as somebody else than this pod.
func (b *Bus) Deliver(events ...bus.Event) error { return b.cluster.Deliver(events...) }

// Uncertain tells the pod's own subscribers of events whose transaction was committed or not: the answer was lost. If it
// was, Deliver them too. Until Beat, nothing that came later is proven to be applied.
func (b *Bus) Uncertain(events ...bus.Event) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	now := time.Now()
	b.unproven.Store(&now)
	for _, e := range events {
		b.hand(bus.Delivery{Event: e, Local: true, Uncertain: true})
	}
}

// Beat proves that the pod is in sync, after Uncertain.
func (b *Bus) Beat() { b.unproven.Store(nil) }

// SetFresh says whether the pod is proven to be in sync. Without proof its age grows from bus.DefaultStaleAfter on.
func (b *Bus) SetFresh(fresh bool) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	if fresh {
		b.staleSince.Store(nil)
		b.unproven.Store(nil)
	} else if b.Fresh() {
		now := time.Now()
		b.staleSince.Store(&now)
	}
	b.cluster.settle()
}

// Reset resets the pod's subscribers; what waited to be delivered is gone, as they distrust everything now.
func (b *Bus) Reset(reason bus.Reason) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.reset(reason)
	b.cluster.settle()
}

// reset has the cluster's lock held.
func (b *Bus) reset(reason bus.Reason) {
	b.inbox = nil
	for _, subscriptions := range b.topics {
		for _, s := range subscriptions {
			s.reset(reason)
		}
	}
}

// receive takes a delivery from the log. The cluster's lock is held, here and below.
func (b *Bus) receive(d bus.Delivery) {
	if d.Local || !b.paused && b.lag == 0 && len(b.inbox) == 0 {
		b.hand(d)
		return
	}
	now := time.Now()
	due := now.Add(b.lag)
	if n := len(b.inbox); n > 0 && b.inbox[n-1].due.After(due) {
		due = b.inbox[n-1].due
	}
	b.inbox = append(b.inbox, parcel{d, due})
	time.AfterFunc(due.Sub(now), func() {
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		b.flush()
	})
}

// flush delivers what is due.
func (b *Bus) flush() {
	now := time.Now()
	for !b.paused && len(b.inbox) > 0 && !b.inbox[0].due.After(now) {
		b.next()
	}
	b.cluster.settle()
}

func (b *Bus) next() {
	d := b.inbox[0].delivery
	b.inbox = b.inbox[1:]
	b.hand(d)
}

func (b *Bus) hand(d bus.Delivery) {
	for _, s := range b.topics[d.Topic] {
		s.deliver(d)
	}
}
