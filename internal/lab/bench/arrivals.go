package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// arrivals notes when each of a run's events was called, was published, and
// arrived at each listener. All methods are safe for concurrent use.
type arrivals struct {
	zero   time.Time
	called []atomic.Int64   // by event; all times are nanoseconds since zero
	sent   []atomic.Int64   // by event
	saved  []atomic.Int64   // by event: when its transaction had committed; 0: when it was sent
	got    [][]atomic.Int64 // by listener and event; 0: not yet
	left   atomic.Int64     // how many of those are 0
}

func newArrivals(events, listeners int) *arrivals {
	// A moment ago, so that no event comes at 0.
	a := &arrivals{zero: time.Now().Add(-1), called: make([]atomic.Int64, events), sent: make([]atomic.Int64, events), saved: make([]atomic.Int64, events)}
	for range listeners {
		a.got = append(a.got, make([]atomic.Int64, events))
	}
	a.left.Store(int64(events * listeners))
	return a
}

// publish notes the time before and after f, which publishes the event.
func (a *arrivals) publish(event int, f func() error) error {
	a.called[event].Store(a.now())
	err := f()
	a.sent[event].Store(a.now())
	return err
}

// committed notes that the event's transaction is over, where its message is yet to be sent.
func (a *arrivals) committed(event int) { a.saved[event].Store(a.now()) }

// published is how many events have been published so far.
func (a *arrivals) published() (n int64) {
	for event := range a.sent {
		if a.sent[event].Load() > 0 {
			n++
		}
	}
	return n
}

// arrive notes that the listener was told of the event. Only the first time counts.
func (a *arrivals) arrive(listener, event int) {
	if event >= 0 && event < len(a.sent) {
		if a.got[listener][event].CompareAndSwap(0, a.now()) {
			a.left.Add(-1)
		}
	}
}

func (a *arrivals) now() int64 { return time.Since(a.zero).Nanoseconds() }

// last is when the last of all listeners was told; false if one was not.
func (a *arrivals) last(event int) (int64, bool) {
	var last int64
	for _, got := range a.got {
		at := got[event].Load()
		if at == 0 {
			return 0, false
		}
		last = max(last, at)
	}
	return last, true
}

func (a *arrivals) missing() int {
	n := 0
	for event := range a.sent {
		if _, ok := a.last(event); !ok {
			n++
		}
	}
	return n
}

// wait returns when every listener was told of every event.
func (a *arrivals) wait(ctx context.Context) error { return a.waitFor(ctx, len(a.sent)) }

// waitFor returns when every listener was told of the first n events, of which
// all others have not been published yet.
func (a *arrivals) waitFor(ctx context.Context, n int) error {
	later := int64((len(a.sent) - n) * len(a.got))
	if err := eventually(ctx, func() bool { return a.left.Load() <= later }); err != nil {
		return fmt.Errorf("%d of %d events did not reach every listener: %w", a.missing(), len(a.sent), err)
	}
	return nil
}

// delays are milliseconds from when publishing an event had returned, or had committed, and from
// when it was called, to when the last listener was told. The first can be
// negative: the server sends a notification before its answer to the sender.
func (a *arrivals) delays() (returned, called []float64) {
	for event := range a.sent {
		if at, ok := a.last(event); ok {
			from := a.saved[event].Load()
			if from == 0 {
				from = a.sent[event].Load()
			}
			returned = append(returned, float64(at-from)/1e6)
			called = append(called, float64(at-a.called[event].Load())/1e6)
		}
	}
	return returned, called
}
