package cachetest

import (
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Pause makes this pod lag: events of other pods wait for Resume or Step. Its own events still arrive at once.
func (b *Bus) Pause() {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.paused = true
}

// Resume ends Pause. It returns after the waiting events that are due were delivered.
func (b *Bus) Resume() {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.paused = false
	b.flush()
}

// Step delivers the event that has waited longest, due or not, and reports whether there was one.
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

// Waiting returns the number of waiting deliveries.
func (b *Bus) Waiting() int {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	return len(b.inbox)
}

// SetLag delays events of other pods by d, in order. Zero ends the delay for later events.
func (b *Bus) SetLag(d time.Duration) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	b.lag = d
}

// Deliver publishes events from outside of this pod.
func (b *Bus) Deliver(events ...bus.Event) error { return b.cluster.Deliver(events...) }

// Uncertain delivers to the pod's own subscribers events of a transaction whose outcome is unknown. If it committed,
// call Deliver with them, too. Until Beat, no later event is proven to be applied.
func (b *Bus) Uncertain(events ...bus.Event) {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	now := time.Now()
	b.unproven.Store(&now)
	for _, e := range events {
		b.deliver(bus.Delivery{Event: e, Local: true, Uncertain: true})
	}
}

// Beat proves that the pod is in sync, after Uncertain.
func (b *Bus) Beat() { b.unproven.Store(nil) }

// SetFresh sets whether the pod is proven to be in sync. Without the proof, its age grows from bus.DefaultStaleAfter
// on.
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

// Reset resets the pod's subscribers, and drops the events that wait for delivery.
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
		b.deliver(d)
		return
	}

	// It comes after those that wait, and not before its time.
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
	b.deliver(d)
}

func (b *Bus) deliver(d bus.Delivery) {
	for _, s := range b.topics[d.Topic] {
		s.deliver(d)
	}
}
