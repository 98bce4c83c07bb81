package bus

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// applier is where everything that is heard or read meets: it hands events to the subscriptions and moves the position.
// The listener, the control loop, publishers and the queues call it from their goroutines.
type applier struct {
	log      *slog.Logger
	registry *registry
	stats    *counters
	batch    int // keys in one delivery of what is caught up
	guards   hook.Guards

	// mu makes applying one thing at a time, so that a position never says more than the queues hold. Nothing is
	// called under it but queues and our own caches.
	mu    sync.Mutex
	track position.Tracker
	codec *wire.Codec
	long  string    // the epoch's identity in its long form
	since time.Time // since when this pod has watched the epoch
	heard time.Time // when the last mark came through LISTEN
	own   bool      // that mark was ours: this pod sweeps
	pace  pace
	// probed is the number of the last probe that came through LISTEN, of whatever pod.
	probed uint64

	fresh  atomic.Pointer[proof] // of the newest proven beat
	place  atomic.Pointer[place] // what our own caches know of the position
	offset atomic.Int64          // the database's clock minus ours, nanoseconds
	closed atomic.Bool
}

// heardWhat is what a notification calls for.
type heardWhat struct {
	gap bool // read the difference
	ask bool // beat at once
	// quicken: events begin to flow, and this pod is the one that carries them.
	quicken bool
}

// notification applies one payload of our channel.
func (a *applier) notification(payload string) heardWhat {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, err := a.codec.Decode(payload)
	switch {
	case errors.Is(err, wire.ErrVersion), errors.Is(err, wire.ErrEpoch):
		a.stats.unknown.Add(1)
		return heardWhat{gap: true}
	case errors.Is(err, wire.ErrMAC):
		a.stats.forged.Add(1)
		a.log.Warn("notification with a bad authentication code ignored")
		return heardWhat{}
	case err != nil:
		a.stats.malformed.Add(1)
		return heardWhat{}
	}
	if m.Probe != 0 {
		a.probed = m.Probe
	}
	for _, g := range m.Groups {
		a.group(g)
	}
	now := time.Now()
	what := heardWhat{ask: m.Ask}
	if len(m.Groups) > 0 {
		flowed := a.pace.flows(now)
		a.pace.heard(now, spared(m))
		what.quicken = a.own && !flowed && a.pace.flows(now)
	}
	if m.Mark != nil {
		a.heard, a.own = now, a.track.IsSent(m.Mark.To)
		a.pace.mark(now)
		if a.guards.MarkWithoutFrom {
			m.Mark.From = position.Stamp{}
		}
		if a.track.Mark(a.codec.Epoch(), m.Mark.From, m.Mark.To) == position.Advance {
			a.barrier()
		} else {
			what.gap = true
		}
	}
	return what
}

// spared is how many announcements a message stands for: what comes with a mark was found by a sweep, and each of its
// transactions would have been announced by itself. Those without a name are of nobody who announces.
func spared(m *wire.Message) int {
	if m.Mark == nil {
		return 1
	}
	var xids []uint64
	for _, g := range m.Groups {
		for _, id := range g.IDs {
			xids = append(xids, id.XID)
		}
	}
	slices.Sort(xids)
	return len(slices.Compact(xids))
}

// group applies announced events. If every event of the group was applied here before, as with the pod's own, nobody
// needs to hear of it again.
func (a *applier) group(g wire.Group) {
	news := g.Also || len(g.IDs) == 0
	for _, id := range g.IDs {
		if a.track.Known(id) == 0 {
			news = true
			a.stats.received.Add(1)
		}
	}
	if news && (g.All || len(g.Keys) > 0) {
		a.foreign(Delivery{
			Event: Event{Topic: g.Topic, Keys: g.Keys, All: g.All}, XIDs: g.Transactions(), CommittedAt: a.localTime(g.At),
		})
	}
	for _, id := range g.IDs {
		a.track.Remember(id, position.Announced|position.Applied)
	}
}

// difference applies a difference read, or resets everybody if it cannot be applied. It answers why it did.
func (a *applier) difference(d *difference) Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.head.BaseOf != d.head.Epoch && a.track.Epoch() == d.head.Epoch {
		return "" // the other connection was first to start in this epoch
	}
	reason := Reason(a.track.ResetReason(d.head))
	if a.guards.IgnorePruned && reason == ReasonPruned {
		reason = ""
	}
	if a.guards.IgnoreEpoch && reason == ReasonEpoch {
		a.codec, a.long, reason = wire.NewCodec(d.head.Epoch, d.secret), d.identity, ""
		a.track.Rename(d.head.Epoch)
	}
	if reason == "" && d.overflow {
		reason = ReasonCatchUp
	}
	if reason != "" {
		// In this order: no proof stands while the subscribers are told, and the new position begins after it.
		a.track.Reset()
		a.publishFresh()
		a.stats.resets.Add(1)
		a.stats.lastReset.Store(&reason)
		a.stats.resetLog.note(reason, time.Now())
		a.registry.reset(reason)
		if a.long != d.identity {
			a.since = time.Now()
		}
		a.codec, a.long = wire.NewCodec(d.head.Epoch, d.secret), d.identity
		a.track.Start(d.head.Epoch, d.head.Current)
		a.barrier()
		return reason
	}
	a.rows(d.events)
	a.track.CaughtUp(d.head.Current)
	a.barrier()
	return ""
}

// rows applies events read from the log: those of a topic in few deliveries, so that many missed events do not fill a
// queue that they fit into.
func (a *applier) rows(events []wire.Event) {
	var news []wire.Event
	for _, e := range events {
		if !e.HasID || a.track.Known(e.ID) == 0 {
			news = append(news, e)
		}
	}
	a.stats.caughtUp.Add(int64(len(news)))
	topics := make(map[string]*Delivery)
	for _, e := range news {
		d := topics[e.Topic]
		if d == nil {
			d = &Delivery{Event: Event{Topic: e.Topic}, CommittedAt: a.localTime(e.At)}
			topics[e.Topic] = d
		}
		d.Keys, d.All = append(d.Keys, e.Keys...), d.All || e.All
		if n := len(d.XIDs); n == 0 || d.XIDs[n-1] != e.ID.XID { // rows of a transaction stand together
			d.XIDs = append(d.XIDs, e.ID.XID)
		}
		if at := a.localTime(e.At); at.Before(d.CommittedAt) {
			d.CommittedAt = at
		}
		if len(d.Keys) >= a.batch {
			a.hand(d)
			delete(topics, e.Topic)
		}
	}
	for _, d := range topics {
		a.hand(d)
	}
	for _, e := range news {
		if e.HasID {
			a.track.Remember(e.ID, position.Applied)
		}
	}
}

// hand delivers what was gathered, unless that is nothing.
func (a *applier) hand(d *Delivery) {
	if d.All {
		d.Keys = nil
	}
	if d.All || len(d.Keys) > 0 {
		a.foreign(*d)
	}
}

// foreign delivers what came from the database, and notes how long that took since the commit.
func (a *applier) foreign(d Delivery) {
	a.registry.deliver(d)
	if !d.CommittedAt.IsZero() {
		a.stats.delays.observe(time.Since(d.CommittedAt))
	}
}

// published hands this bus' own events to its own subscribers, before the publisher goes on.
// xid is 0 if the outcome of their commit is unknown.
func (a *applier) published(events []Event, at time.Time, xid uint64) {
	var xids []uint64
	if xid != 0 {
		xids = []uint64{xid}
	}
	for _, e := range events {
		a.registry.deliver(Delivery{Event: e, Local: true, Uncertain: xid == 0, XIDs: xids, CommittedAt: at})
	}
}

// remember notes that own events were applied here, when they are known to be committed: their announcement need not
// be applied again.
func (a *applier) remember(ids []position.EventID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		a.track.Remember(id, position.Applied)
	}
}

// beat records the answer of a beat sent at a time; false: it saw another epoch.
func (a *applier) beat(epoch string, answer position.Snapshot, sent time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	ok := a.track.Beat(epoch, answer, sent)
	a.publishFresh()
	return ok
}

// base is what a difference starts from, filled in as far as it is known before the read.
func (a *applier) base() position.Difference { return a.baseFrom((*position.Tracker).Base) }

// sweepBase is the same for a sweep.
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

// standing is what the control loop decides on.
type standing struct {
	epoch    string
	identity string // the epoch's long form
	// epochSince is since when this pod has watched the epoch.
	epochSince time.Time
	position   position.Stamp
	unproven   time.Time // oldest beat without proof, zero for none
	heard      time.Time // last mark through LISTEN
	probed     uint64    // last probe through LISTEN
	sweeping   bool      // it was this pod's own
	caughtUp   bool      // all queues have worked off what was received
	codec      *wire.Codec
	pace       pace
}

func (a *applier) standing() standing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return standing{
		a.track.Epoch(), a.long, a.since, a.track.Position(), a.track.Unproven(), a.heard, a.probed, a.own,
		a.track.Position() == a.track.Received(), a.codec, a.pace,
	}
}

// count notes how many pods there are.
func (a *applier) count(pods int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pace.pods = pods
}

// epochNow is the short form of the epoch, empty for none.
func (a *applier) epochNow() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.track.Epoch()
}

// unannounced filters events that were heard announced in this epoch.
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

// sent remembers the snapshot of an own mark.
func (a *applier) sent(s position.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Sent(s)
}

// queuesMoved is called by a queue that passed a barrier, and when a subscription ends.
func (a *applier) queuesMoved() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Passed(a.registry.progress(a.track.Barrier()))
	a.publishFresh()
}

// close ends all trust for good.
func (a *applier) close() {
	a.closed.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.track.Reset()
	a.publishFresh()
	a.registry.reset(ReasonClosed)
}

func (a *applier) barrier() {
	if a.registry.barrier(a.track.Barrier()) {
		a.track.Passed(a.track.Barrier())
	}
	a.publishFresh()
}
