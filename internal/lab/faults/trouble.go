package main

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Trouble is what a pod is told to suffer.
type Trouble struct {
	Block  time.Duration // deliveries hang for so long
	Delay  time.Duration // each delivery takes so long
	Panics int           // so many deliveries panic
	Starve time.Duration // the pool has no connection to give for so long
}

// trouble is what a pod's subscribers suffer, if they stand behind queues.
type trouble struct {
	mu     sync.Mutex
	stuck  <-chan struct{} // what deliveries wait for; nil: nothing
	delay  time.Duration
	panics int // deliveries that are to panic
}

// begin begins a trouble in the place of the one before.
func (t *trouble) begin(kind Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.delay, t.panics = kind.Delay, kind.Panics

	if kind.Block == 0 {
		return
	}

	stuck := make(chan struct{})
	t.stuck = stuck
	time.AfterFunc(kind.Block, func() {
		t.mu.Lock()
		t.stuck = nil
		t.mu.Unlock()
		close(stuck)
	})
}

// suffer is one delivery. It waits outside of the lock.
func (t *trouble) suffer() {
	t.mu.Lock()
	stuck, delay, bad := t.stuck, t.delay, t.panics > 0
	if bad {
		t.panics--
	}

	t.mu.Unlock()

	if stuck != nil {
		<-stuck
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	if bad {
		panic("a subscriber that panics, for a fault test")
	}
}

// queuedBus is a bus that takes the library's own cache for anybody's: it stands behind a queue, and can suffer.
type queuedBus struct {
	*bus.Postgres
	trouble *trouble
}

// Subscribe implements bus.Bus.
func (b queuedBus) Subscribe(topic string, s bus.Subscriber) (unsubscribe func()) {
	return b.Postgres.Subscribe(topic, queued{s, b.trouble})
}

// queued is a subscriber of which nobody can see that it need not stand behind a queue.
type queued struct {
	bus.Subscriber
	trouble *trouble
}

// Invalidate implements bus.Subscriber.
func (q queued) Invalidate(d bus.Delivery) {
	q.trouble.suffer()
	q.Subscriber.Invalidate(d)
}
