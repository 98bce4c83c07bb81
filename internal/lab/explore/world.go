package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// world is a small cluster.
type world struct {
	scope *scope
	db    database
	pods  []pod
	alone []event // not yet announced by the process that only publishes

	confirmation struct {
		begun, done bool
		since       int8
		after       position.Stamp
		beats       []int8
	}

	left   struct{ kills, deaf, crashes, failovers, restarts, prepared, prunes, pauses int8 }
	broken string
}

func newWorld(s *scope) *world {
	w := &world{scope: s}
	w.db = database{next: 1, latest: 1, clock: 1, epochBorn: 1, values: make([]value, 1, 4)}
	w.db.txs = make([]transaction, len(s.writers))
	w.db.rows = make([]row, s.pods)
	w.left.kills, w.left.deaf, w.left.crashes = int8(s.kills), int8(s.deaf), int8(s.crashes)
	w.left.failovers, w.left.restarts, w.left.prepared = int8(s.failovers), int8(s.restarts), int8(s.prepared)
	w.left.prunes, w.left.pauses = int8(s.prunes), int8(s.pauses)

	w.pods = make([]pod, s.pods)
	for i := range w.pods {
		p := &w.pods[i]
		p.cache = nothing
		p.left.sweeps = int8(s.sweeps)
		if i == reader {
			p.left.sweeps = int8(s.ownSweeps)
			p.left.loads, p.left.beats, p.left.reads = int8(s.loads), int8(s.beats), int8(s.reads)
		}
	}
	if s.started {
		w.start()
	}

	return w
}

// start makes all pods listen, with the row's first value in their caches and fresh.
func (w *world) start() {
	for i := range w.pods {
		p := &w.pods[i]
		p.connected, p.live = true, true
		p.track.Reset()
		p.track.Start(epochName(w.db.epoch), w.db.snapshot())
		p.track.Passed(p.track.Barrier())
		p.track.Beat(epochName(w.db.epoch), w.db.snapshot(), at(w.db.clock))
		p.arrived(w.db.clock, w.scope.off)

		if i == reader {
			if !w.scope.empty {
				p.cache = 0
			}
			w.db.rows[i] = row{exists: true, epoch: p.track.Epoch(), at: p.track.Position()}
		}
	}
}

func (w *world) clone() *world {
	c := *w
	c.db = w.db.clone()
	c.pods = make([]pod, len(w.pods))
	for i := range w.pods {
		c.pods[i] = w.pods[i].clone()
	}
	c.alone = slices.Clone(w.alone)

	return &c
}

func (w *world) violation() string { return w.broken }

// check sets broken if any pod could now return a value that the guarantees forbid. A Get can come at any time.
func (w *world) check() {
	for i := range w.pods {
		p := &w.pods[i]
		proven := p.proven(w.scope.off)
		if p.cache == nothing || proven == 0 {
			continue
		}

		if ended := w.db.values[p.cache].ended; ended != 0 && ended <= proven {
			w.broken = fmt.Sprintf("pod %d serves value %d, replaced at %d, as fresh as of %d (G1, G2)", i, p.cache, ended, proven)
		}
		if c := w.db.txs[0]; w.confirmation.done && c.state == committed && p.cache < c.value {
			w.broken = fmt.Sprintf("pod %d serves value %d after value %d was confirmed (G4)", i, p.cache, c.value)
		}
	}
}

// next yields the possible steps. Each is taken on a copy of the state. Steps that change nothing lead back to a state that
// was visited already.
func (w *world) next() iter.Seq2[step, state] {
	return func(yield func(step, state) bool) {
		for _, s := range w.steps() {
			n := w.clone()
			n.take(s)
			n.check()
			if !yield(s, n) {
				return
			}
		}
	}
}

// append appends everything that determines the future, in a fixed order.
func (w *world) append(b []byte) []byte {
	b = w.db.append(b)
	for i := range w.pods {
		b = w.pods[i].append(b)
	}
	b = appendEvents(b, w.alone)

	c := w.confirmation
	b = append(b, bit(c.begun), bit(c.done), byte(c.since))
	b = appendStamp(b, c.after)
	for _, n := range c.beats {
		b = append(b, byte(n))
	}
	l := w.left

	return append(b, byte(l.kills), byte(l.deaf), byte(l.crashes), byte(l.failovers), byte(l.restarts), byte(l.prepared), byte(l.prunes), byte(l.pauses))
}

func (d *database) append(b []byte) []byte {
	b = append(b, byte(d.next), byte(d.latest), byte(d.current), byte(d.epoch), byte(d.epochBorn), byte(d.clock))
	b = append(b, d.prunedTo.String()...)
	for _, t := range d.txs {
		b = append(b, byte(t.state), bit(t.prepared), bit(t.logged), bit(t.lost), byte(t.xid), byte(t.epoch), byte(t.value))
	}
	b = append(b, byte(len(d.values)))
	for _, v := range d.values {
		b = append(b, byte(v.ended), byte(v.latest))
	}
	b = append(b, byte(len(d.before)))
	for _, v := range d.before {
		b = append(b, byte(v))
	}
	for _, r := range d.rows {
		b = append(b, bit(r.exists), byte(r.beats))
		b = append(append(b, r.epoch...), 0)
		b = appendStamp(b, r.at)
	}

	return b
}

func (p *pod) append(b []byte) []byte {
	b = p.track.AppendState(b)
	b = append(b, bit(p.connected), bit(p.deaf), bit(p.live), bit(p.gap), byte(p.cache), byte(p.arrival), byte(p.expired))
	b = append(b, bit(p.load.running), byte(p.load.value))
	b = append(b, byte(p.left.loads), byte(p.left.beats), byte(p.left.sweeps), byte(p.left.reads))

	b = append(b, byte(len(p.queue)))
	for _, m := range p.queue {
		b = append(b, byte(m.epoch), bit(m.mark))
		b = appendEvents(b, m.events)
		b = appendStamp(appendStamp(b, m.from), m.to)
	}
	b = append(b, byte(len(p.work)))
	for _, x := range p.work {
		// The Tracker's own bytes count barriers from the newest too.
		b = append(b, bit(x.reset), bit(x.barrier > 0), byte(p.track.Barrier()-x.barrier))
	}

	b = appendRead(b, p.catchUp)
	b = appendRead(b, p.read)
	if s := p.sweep; s != nil {
		b = appendRead(b, &read{s.head, s.events})
	} else {
		b = append(b, 0)
	}
	if p.beat != nil {
		b = append(b, 1, byte(p.beat.sent))
		b = append(append(b, p.beat.epoch...), 0)
		b = append(append(b, p.beat.snapshot.String()...), 0)
	} else {
		b = append(b, 0)
	}

	return appendEvents(appendEvents(b, p.noted), p.outbox)
}

func appendRead(b []byte, r *read) []byte {
	if r == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, s := range []string{
		r.head.Epoch, r.head.BaseOf, r.head.Current.String(), r.head.PrunedTo.String(), r.head.Base.String(), r.head.Position.String(),
	} {
		b = append(append(b, s...), 0)
	}

	return appendEvents(b, r.events)
}

func appendEvents(b []byte, events []event) []byte {
	b = append(b, byte(len(events)))
	for _, e := range events {
		b = append(b, byte(e.xid), byte(e.epoch))
	}

	return b
}

func appendStamp(b []byte, s position.Stamp) []byte {
	b = binary.AppendUvarint(b, s.Xmax)

	return binary.AppendUvarint(b, uint64(s.InProgress))
}

func bit(set bool) byte {
	if set {
		return 1
	}

	return 0
}
