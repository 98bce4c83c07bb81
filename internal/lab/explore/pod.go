package main

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

const nothing = -1

// load is a read of the row on its way into the cache.
type load struct {
	running bool
	value   int8
}

// read is a difference on its way to the pod.
type read struct {
	head   position.Difference
	events []event
}

// beat is a heartbeat on its way to the pod.
type beat struct {
	snapshot position.Snapshot
	epoch    string
	sent     int8
}

// sweep is what a pod has read for all.
type sweep struct {
	head   position.Difference
	events []event
}

// work waits in a subscriber's queue: to invalidate, to forget everything, or a barrier to pass.
type work struct {
	barrier uint64
	reset   bool
}

type pod struct {
	track     position.Tracker
	connected bool
	deaf      bool
	live      bool // has caught up since it listens
	gap       bool
	queue     []message // of the connection
	work      []work
	catchUp   *read // the listener's
	read      *read // the control loop's
	beat      *beat
	sweep     *sweep
	load      load
	cache     int8
	noted     []event // commits that the publisher's goroutine has yet to note
	outbox    []event
	heard     int8 // when anything last arrived
	trusted   int8 // what was proven until then is trusted no more
	left      struct{ loads, beats, sweeps, reads int8 }
}

func (p *pod) clone() pod {
	c := *p
	c.track = p.track.Clone()
	c.queue, c.work = slices.Clone(p.queue), slices.Clone(p.work)
	c.noted, c.outbox = slices.Clone(p.noted), slices.Clone(p.outbox)

	return c
}

// at makes a time of the database's clock, for the Tracker.
func at(clock int8) time.Time { return time.Unix(int64(clock), 0) }

// proven is the time as of which everything in the cache is known to be right; 0 if nothing is known.
func (p *pod) proven(off guards) int8 {
	proven := p.heard
	if !off.freshWithoutBeat {
		proven = 0
		if f := p.track.FreshAsOf(); !f.IsZero() {
			proven = int8(f.Unix())
		}
	}
	if proven <= p.trusted {
		return 0
	}

	return proven
}

// arrived notes when anything arrived, where that is taken for a proof.
func (p *pod) arrived(clock int8, off guards) {
	if off.freshWithoutBeat {
		p.heard = clock
	}
}

// take gives an event, or a reset, to the subscriber.
func (p *pod) take(w work, queued bool, off guards) {
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
		p.forget(off.keepLoadsOnReset)
	default:
		p.forget(off.keepLoads)
	}
}

// forget removes what the cache holds, and detaches the load on its way: what it returns is not stored.
func (p *pod) forget(keepLoads bool) {
	p.cache = nothing
	if !keepLoads {
		p.load = load{}
	}
}

// pass lets the applied position follow once the queue has been worked off as far as it is now.
func (p *pod) pass(queued bool, off guards) {
	p.take(work{barrier: p.track.Barrier()}, queued && !off.appliedWhenReceived, off)
}

// apply takes a difference in.
func (p *pod) apply(r *read, clock int8, queued bool, off guards) {
	if r.head.BaseOf != r.head.Epoch && p.track.Epoch() == r.head.Epoch {
		return // the other read has begun anew meanwhile
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
		p.take(work{reset: true}, queued, off)
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
		p.take(work{}, queued, off)
	}
	p.track.Remember(id, what)
}

// hear takes a notification in.
func (p *pod) hear(m message, clock int8, queued bool, off guards) {
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

// note is what the publisher's goroutine does after its commit.
func (p *pod) note(e event, queued bool, off guards) {
	id := position.EventID{XID: e.xid}
	if epochName(e.epoch) != p.track.Epoch() && !off.namesOutliveEpoch {
		p.take(work{}, queued, off)
	} else {
		p.learn(e, position.Applied, queued, off)
		p.track.Remember(id, position.Applied)
	}
	p.outbox = append(p.outbox, e)
}
