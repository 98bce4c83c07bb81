package bus

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// applier is where everything that is heard or read meets: it delivers events to the subscriptions and moves the
// position. The receiver and the catch-up apply through it; the control loop, publishers and the queues call it from
// their goroutines.
type applier struct {
	*env
	registry *registry
	fresh    freshness

	// mu makes applying one thing at a time, so that a position never says more than the queues hold. Nothing is
	// called under it but queues and our own caches.
	mu       sync.Mutex
	track    position.Tracker
	codec    *wire.Codec // of the epoch; nil before the first
	identity string      // the epoch's long form
	since    time.Time   // since when this pod has watched the epoch
	heard    heard
}

// heard is what was received through LISTEN lately, from whatever pod.
type heard struct {
	mark  time.Time // when the last mark came
	own   bool      // that mark was ours: this pod sweeps
	probe uint64    // the number of the last probe
	pace  pace
}

// status is what the control loop decides on: a copy of the applier's state.
type status struct {
	epoch      string
	identity   string    // the epoch's long form
	epochSince time.Time // since when this pod has watched the epoch
	position   position.Stamp
	unproven   time.Time // oldest beat without proof, zero for none
	caughtUp   bool      // all queues have worked off what was received
	codec      *wire.Codec
	heard      heard
}

// watched returns for how long this pod has watched the epoch; 0 without one.
func (st status) watched(now time.Time) time.Duration {
	if st.epoch == "" {
		return 0
	}
	return max(now.Sub(st.epochSince), 0)
}

func (a *applier) status() status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return status{
		epoch: a.track.Epoch(), identity: a.identity, epochSince: a.since, position: a.track.Position(),
		unproven: a.track.Unproven(), caughtUp: a.track.Position() == a.track.Received(), codec: a.codec, heard: a.heard,
	}
}

// epochNow returns the short form of the epoch, empty for none.
func (a *applier) epochNow() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.track.Epoch()
}

// setPodCount notes how many pods there are.
func (a *applier) setPodCount(pods int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard.pace.pods = pods
}

// deliverCommitted delivers this bus' own events to its own subscribers, before the publisher goes on, and remembers
// them: their announcement need not be applied again. Their names mean nothing in an epoch other than the one that they
// were given in.
func (a *applier) deliverCommitted(events []Event, at time.Time, epoch string, ids []position.EventID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	named := epoch != "" && epoch == a.track.Epoch() || a.guards.NamesOutliveEpoch

	var xids []uint64
	if named || a.track.Epoch() == "" {
		xids = []uint64{ids[0].XID}
	}
	for _, e := range events {
		a.registry.deliver(Delivery{Event: e, Local: true, XIDs: xids, CommittedAt: at})
	}
	if !named {
		return
	}
	for _, id := range ids {
		a.track.Remember(id, position.Applied)
	}
}

// deliverUncertain delivers own events of which it is not known whether they were committed.
func (a *applier) deliverUncertain(events []Event, at time.Time) {
	for _, e := range events {
		a.registry.deliver(Delivery{Event: e, Local: true, Uncertain: true, CommittedAt: at})
	}
}

// deliverRemote delivers what came from the database, and notes how long that took since the commit.
func (a *applier) deliverRemote(d Delivery) {
	a.registry.deliver(d)
	if !d.CommittedAt.IsZero() {
		a.stats.delays.observe(time.Since(d.CommittedAt))
	}
}

// unannounced filters out events that were heard announced in this epoch.
func (a *applier) unannounced(events []wire.Event) []wire.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	var rest []wire.Event
	for _, e := range events {
		if !e.HasID || a.track.Known(e.ID)&position.Announced == 0 {
			rest = append(rest, e)
		}
	}
	return rest
}

// beat records the snapshot that a beat sent at a time has returned. It reports whether the beat saw this epoch.
func (a *applier) beat(epoch string, answer position.Snapshot, sent time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	ok := a.track.Beat(epoch, answer, sent)
	a.publish()
	return ok
}

// sent remembers the snapshot of an own mark.
func (a *applier) sent(s position.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Sent(s)
}

// base returns what a difference starts from, filled in as far as it is known before the read.
func (a *applier) base() position.Difference { return a.baseFrom((*position.Tracker).Base) }

// sweepBase is base for a sweep.
func (a *applier) sweepBase() position.Difference { return a.baseFrom((*position.Tracker).SweepBase) }

func (a *applier) baseFrom(which func(*position.Tracker) (position.Snapshot, bool)) position.Difference {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := position.Difference{Position: a.track.Received()}
	if base, ok := which(&a.track); ok {
		d.Base, d.BaseOf = base, a.track.Epoch()
	}
	return d
}

// onBarrierPassed is called by a queue that passed a barrier, and when a subscription ends.
func (a *applier) onBarrierPassed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Passed(a.registry.progress(a.track.Barrier()))
	a.publish()
}

// close ends all trust for good.
func (a *applier) close() {
	a.fresh.closed.Store(true)

	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Reset()
	a.publish()
	a.registry.reset(ReasonClosed)
}

// barrier puts a barrier behind what was just delivered: the position follows when all queues have passed it. The
// caller holds the lock.
func (a *applier) barrier() {
	if a.registry.barrier(a.track.Barrier()) {
		a.track.Passed(a.track.Barrier())
	}
	a.publish()
}

// publish makes the proof and the position visible. The caller holds the lock.
func (a *applier) publish() {
	proven := a.track.FreshAsOf()
	if a.guards.FreshWithoutBeat && a.track.Epoch() != "" {
		proven = time.Now()
	}
	a.fresh.publish(&a.track, proven)
}
