package position

import (
	"slices"
	"time"
)

// Tracker is one pod's account of how far it has applied the event log, and since when that is proven. It is not safe
// for concurrent use: the bus guards it with the lock under which it applies events.
//
// There are two positions. Up to the received position every event was put into all subscribers' queues. Up to the
// applied position every queue has also been processed. Marks and difference reads advance the first and open a barrier;
// when the bus reports that all queues have passed the barrier, the second follows. A pod reports and trusts the second.
type Tracker struct {
	epoch    string
	received Stamp
	applied  Stamp
	marked   Stamp      // the furthest mark received, applied or not
	full     Snapshot   // newest full snapshot that received covers: what a difference starts from
	common   Snapshot   // newest full snapshot that marked covers: what a sweep starts from
	offered  []Snapshot // full snapshots that may become either
	barriers []barrier  // in flight, ascending
	seq      uint64     // of the newest barrier
	beats    []beat     // returned, not yet proven
	fresh    time.Time  // sent time of the newest proven beat
	sent     []Stamp    // own marks
	memory   memory
}

type barrier struct {
	seq   uint64
	stamp Stamp
}

type beat struct {
	answer Snapshot
	sent   time.Time
	passed bool // received has passed it
}

const (
	maxBarriers = 256 // then every second one is dropped: positions only grow, so only granularity is lost
	maxBeats    = 64  // then the newest are dropped: the older prove the same, a little less fresh
	maxSent     = 16
	maxOffered  = 64
)

// Epoch returns the epoch that this position belongs to, "" before the first difference.
func (t *Tracker) Epoch() string { return t.epoch }

// Position returns the applied position. It is zero before the first difference and after a reset.
func (t *Tracker) Position() Stamp { return t.applied }

// Received returns the received position.
func (t *Tracker) Received() Stamp { return t.received }

// Base returns the snapshot that a pod's own difference starts from; ok is false if there is none, and a reset is needed.
func (t *Tracker) Base() (Snapshot, bool) { return t.full, t.epoch != "" }

// SweepBase returns the snapshot that a sweep starts from. It is never newer than the last mark received, which is the
// position of the other pods. With a newer one, such as a difference that only this pod has read, its mark would make all
// others read the log.
func (t *Tracker) SweepBase() (Snapshot, bool) {
	if t.common.Xmax == 0 {
		return t.Base()
	}
	return t.common, t.epoch != ""
}

// FreshAsOf returns when the newest beat was sent that the applied position has passed; zero without a proof.
func (t *Tracker) FreshAsOf() time.Time { return t.fresh }

// Unproven returns when the oldest beat was sent that has returned and that the received position has not passed; zero
// if there is none. (Events that wait in queues have arrived.)
func (t *Tracker) Unproven() time.Time {
	for _, b := range t.beats {
		if !b.passed {
			return b.sent
		}
	}
	return time.Time{}
}

// Verdict says what a pod does with a mark or a difference.
type Verdict uint8

const (
	// Advance: the position moved, or was there already.
	Advance Verdict = iota
	// Gap: something may have been missed; read the difference.
	Gap
	// Foreign: the mark belongs to another epoch; read the difference.
	Foreign
)

// Mark handles "all events visible at to and not at from have been announced before this". The rule that a mark counts
// only from a position at or past its from is what makes a lost announcement harmless.
func (t *Tracker) Mark(epoch string, from, to Stamp) Verdict {
	if epoch != t.epoch || epoch == "" {
		return Foreign
	}
	if to.AtLeast(t.marked) {
		t.marked = to
	}
	if !t.received.AtLeast(from) {
		t.settle()
		return Gap
	}
	t.advance(to)
	return Advance
}

// Sent remembers the full snapshot of a mark this pod sends: when the mark comes back, the next sweep starts there and
// not at the last beat.
func (t *Tracker) Sent(s Snapshot) {
	if len(t.sent) == maxSent {
		t.sent = append(t.sent[:0], t.sent[1:]...)
	}
	t.sent = append(t.sent, s.Stamp())
	t.offer(s)
}

// IsSent reports whether this pod sent a mark to this stamp.
func (t *Tracker) IsSent(to Stamp) bool { return slices.Contains(t.sent, to) }

// Difference is the head of a difference read.
type Difference struct {
	Epoch    string   // the log's identity as the statement saw it
	Current  Snapshot // the statement's own snapshot
	PrunedTo Snapshot // events that this sees may have been deleted; zero if nothing was ever pruned
	Base     Snapshot // what the read started from
	BaseOf   string   // the epoch that Base belonged to, empty if there was none
	Position Stamp    // the received position when the read was sent
}

// ResetReason returns why the difference cannot be applied to this position and a reset is needed instead; "" if it can.
func (t *Tracker) ResetReason(d Difference) string {
	switch {
	case t.epoch == "" || d.BaseOf == "":
		return "start"
	case d.Epoch != t.epoch || d.Epoch != d.BaseOf:
		return "epoch"
	case !d.Base.Stamp().AtLeast(d.PrunedTo.Stamp()):
		return "pruned"
	case !d.Current.Stamp().AtLeast(d.Position):
		return "rewound"
	}
	return ""
}

// Reset drops every position and proof. Call it before the subscribers are reset, and Start after that.
func (t *Tracker) Reset() {
	t.epoch, t.received, t.applied, t.marked = "", Stamp{}, Stamp{}, Stamp{}
	t.full, t.common, t.offered = Snapshot{}, Snapshot{}, nil
	t.barriers, t.beats, t.sent, t.fresh = nil, nil, nil, time.Time{}
	t.memory.clear()
}

// Start begins at a snapshot of an epoch, after a Reset that is in all subscribers' queues.
func (t *Tracker) Start(epoch string, at Snapshot) {
	t.epoch = epoch
	t.CaughtUp(at)
}

// Rename changes the epoch that the position belongs to. Only fault tests use it.
func (t *Tracker) Rename(epoch string) { t.epoch = epoch }

// CaughtUp advances to the snapshot of a difference whose events are in all queues.
func (t *Tracker) CaughtUp(current Snapshot) {
	t.offer(current)
	t.advance(current.Stamp())
}

// Beat records the snapshot that a beat returned, which was taken after the beat was sent. It returns false if the beat
// saw another epoch; then it proves nothing, and the caller reads the difference.
func (t *Tracker) Beat(epoch string, answer Snapshot, sent time.Time) bool {
	if epoch == "" || epoch != t.epoch {
		return false
	}
	if len(t.beats) < maxBeats {
		t.beats = append(t.beats, beat{answer: answer, sent: sent})
	}
	t.offer(answer)
	t.settle()
	t.prove()
	return true
}

// Barrier returns the number of the newest barrier; queues pass barriers in this order.
func (t *Tracker) Barrier() uint64 { return t.seq }

// Passed records that every subscriber's queue has passed all barriers up to seq.
func (t *Tracker) Passed(seq uint64) {
	n := 0
	for n < len(t.barriers) && t.barriers[n].seq <= seq {
		if s := t.barriers[n].stamp; s.AtLeast(t.applied) {
			t.applied = s
		}
		n++
	}
	if n > 0 {
		t.barriers = append(t.barriers[:0], t.barriers[n:]...)
		t.prove()
	}
}

// Known returns what is remembered of an event; zero for nothing.
func (t *Tracker) Known(id EventID) Known { return t.memory.get(id) }

// Remember adds to what is known of an event.
func (t *Tracker) Remember(id EventID, what Known) { t.memory.add(id, what, t.full) }

func (t *Tracker) advance(to Stamp) {
	if to.AtLeast(t.received) {
		t.received = to
	}

	t.seq++

	if len(t.barriers) == maxBarriers {
		kept := t.barriers[:0]
		for i, b := range t.barriers {
			if i%2 == 1 {
				kept = append(kept, b)
			}
		}
		t.barriers = kept
	}

	t.barriers = append(t.barriers, barrier{t.seq, t.received})
	t.settle()
	t.prove()
}

func (t *Tracker) offer(s Snapshot) {
	if len(t.offered) == maxOffered {
		t.offered = append(t.offered[:0], t.offered[1:]...)
	}
	t.offered = append(t.offered, s)
}

// settle takes the newest snapshots that received and marked have reached, and drops those that neither will need.
func (t *Tracker) settle() {
	for _, s := range t.offered {
		if t.received.AtLeast(s.Stamp()) && s.Stamp().AtLeast(t.full.Stamp()) {
			t.full = s
		}
		if t.marked.AtLeast(s.Stamp()) && s.Stamp().AtLeast(t.common.Stamp()) {
			t.common = s
		}
	}
	t.offered = slices.DeleteFunc(t.offered, func(s Snapshot) bool {
		return t.full.Stamp().AtLeast(s.Stamp()) && t.common.Stamp().AtLeast(s.Stamp())
	})
}

// prove drops the beats that the applied position has passed; the newest of them is the proof of freshness.
func (t *Tracker) prove() {
	kept := t.beats[:0]
	for _, b := range t.beats {
		b.passed = b.passed || t.received.AtLeast(b.answer.Stamp())
		if t.applied.AtLeast(b.answer.Stamp()) {
			if b.sent.After(t.fresh) {
				t.fresh = b.sent
			}
			continue
		}
		kept = append(kept, b)
	}
	t.beats = kept
}
