package main

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

const nothing = -1

// load is a read of the row that is not yet stored in the cache.
type load struct {
	running bool
	value   int8
}

// read is a difference that the pod has not yet applied.
type read struct {
	head   position.Difference
	events []event
}

// beat is a heartbeat whose reply the pod has not yet received.
type beat struct {
	snapshot position.Snapshot
	epoch    string
	sent     int8
}

// sweep is what a pod has read for a sweep.
type sweep struct {
	head   position.Difference
	events []event
}

// work is an item of a subscriber's queue: an invalidation, a reset, or a barrier.
type work struct {
	barrier uint64
	reset   bool
}

type pod struct {
	track     position.Tracker
	connected bool
	deaf      bool
	live      bool // has caught up since it began to listen
	gap       bool
	queue     []message // of the connection
	work      []work
	catchUp   *read // the listener's
	read      *read // the control loop's
	beat      *beat
	sweep     *sweep
	load      load
	cache     int8
	noted     []event // commits that the publisher's goroutine has not yet recorded
	outbox    []event
	arrival   int8 // when anything last arrived
	expired   int8 // proofs from before this time have expired
	left      struct{ loads, beats, sweeps, reads int8 }
}

func (p *pod) clone() pod {
	c := *p
	c.track = p.track.Clone()
	c.queue, c.work = slices.Clone(p.queue), slices.Clone(p.work)
	c.noted, c.outbox = slices.Clone(p.noted), slices.Clone(p.outbox)

	return c
}

// at converts a time of the database's clock for the Tracker.
func at(clock int8) time.Time { return time.Unix(int64(clock), 0) }

// proven returns the time as of which the whole cache is known to be correct; 0 if unknown.
func (p *pod) proven(off guards) int8 {
	proven := p.arrival
	if !off.freshWithoutBeat {
		proven = 0
		if f := p.track.FreshAsOf(); !f.IsZero() {
			proven = int8(f.Unix())
		}
	}
	if proven <= p.expired {
		return 0
	}

	return proven
}

// arrived records an arrival, if the search takes arrivals for proofs of freshness.
func (p *pod) arrived(clock int8, off guards) {
	if off.freshWithoutBeat {
		p.arrival = clock
	}
}

// deliver passes an event or a reset to the subscriber.
func (p *pod) deliver(w work, queued bool, off guards) {
	if queued {
		p.work = append(p.work, w)
		return
	}
	p.do(w, off)
}

func (p *pod) do(w work, off guards) {
	switch {
	case w.barrier > 0:
		p.track.Passed(w.barrier)
	case w.reset:
		p.invalidate(off.keepLoadsOnReset)
	default:
		p.invalidate(off.keepLoads)
	}
}

// invalidate removes the entry, and detaches a running load, so that its result is not stored.
func (p *pod) invalidate(keepLoads bool) {
	p.cache = nothing
	if !keepLoads {
		p.load = load{}
	}
}

// pass advances the applied position once the subscriber has handled everything that is in the queue now.
func (p *pod) pass(queued bool, off guards) {
	p.deliver(work{barrier: p.track.Barrier()}, queued && !off.appliedWhenReceived, off)
}

// apply applies a difference.
func (p *pod) apply(r *read, clock int8, queued bool, off guards) {
	if r.head.BaseOf != r.head.Epoch && p.track.Epoch() == r.head.Epoch {
		return // the other read has started again in the meantime
	}

	reason := p.track.ResetReason(r.head)
	if reason == "pruned" && off.ignorePruned {
		reason = ""
	}
	if reason == "epoch" && off.ignoreEpoch {
		p.track.Rename(r.head.Epoch)
		reason = ""
	}
	p.arrived(clock, off)

	if reason != "" {
		p.track.Reset()
		p.work = nil
		p.deliver(work{reset: true}, queued, off)
		p.track.Start(r.head.Epoch, r.head.Current)
	} else {
		for _, e := range r.events {
			p.learn(e, position.Applied, queued, off)
		}
		p.track.CaughtUp(r.head.Current)
	}
	p.pass(queued, off)
}

func (p *pod) learn(e event, what position.Known, queued bool, off guards) {
	id := position.EventID{XID: e.xid}
	if p.track.Known(id) == 0 {
		p.deliver(work{}, queued, off)
	}
	p.track.Remember(id, what)
}

// receive applies a notification.
func (p *pod) receive(m message, clock int8, queued bool, off guards) {
	if epochName(m.epoch) != p.track.Epoch() {
		p.gap = true
		return
	}
	p.arrived(clock, off)

	for _, e := range m.events {
		p.learn(e, position.Announced|position.Applied, queued, off)
	}
	if !m.mark {
		return
	}
	if off.markWithoutFrom {
		m.from = position.Stamp{}
	}
	if p.track.Mark(epochName(m.epoch), m.from, m.to) != position.Advance {
		p.gap = true
	}
	p.pass(queued, off)
}

// note is what the publisher's goroutine does after its COMMIT.
func (p *pod) note(e event, queued bool, off guards) {
	id := position.EventID{XID: e.xid}
	if epochName(e.epoch) != p.track.Epoch() && !off.namesOutliveEpoch {
		p.deliver(work{}, queued, off)
	} else {
		p.learn(e, position.Applied, queued, off)
		p.track.Remember(id, position.Applied)
	}
	p.outbox = append(p.outbox, e)
}
