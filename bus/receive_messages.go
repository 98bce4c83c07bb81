package bus

import (
	"errors"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// receiver applies the notifications of our channel. The listener calls it.
type receiver struct{ *applier }

// action is what a notification calls for.
type action struct {
	read bool // the difference
	beat bool // at once
	// wakeSweeper: events begin to flow, and this pod is the one that carries them.
	wakeSweeper bool
}

// receive applies one payload.
func (r receiver) receive(payload string) action {
	r.mu.Lock()
	defer r.mu.Unlock()

	m, err := r.codec.Decode(payload)
	switch {
	case errors.Is(err, wire.ErrVersion), errors.Is(err, wire.ErrEpoch):
		r.stats.unknown.Add(1)
		return action{read: true}
	case errors.Is(err, wire.ErrMAC):
		r.stats.forged.Add(1)
		r.log.Warn("notification with a bad authentication code ignored")
		return action{}
	case err != nil:
		r.stats.malformed.Add(1)
		return action{}
	}

	if m.Probe != 0 {
		r.heard.probe = m.Probe
	}
	for _, g := range m.Groups {
		r.applyGroup(g)
	}

	now := time.Now()
	todo := action{beat: m.Ask}
	if len(m.Groups) > 0 {
		flowed := r.heard.pace.flows(now)
		r.heard.pace.heard(now, savedNotifies(m))
		todo.wakeSweeper = r.heard.own && !flowed && r.heard.pace.flows(now)
	}
	if m.Mark != nil {
		todo.read = !r.applyMark(*m.Mark, now)
	}
	return todo
}

// applyMark moves the position. It reports whether the mark counts from where the position is.
func (r receiver) applyMark(mark wire.Mark, now time.Time) bool {
	r.heard.mark, r.heard.own = now, r.track.IsSent(mark.To)
	r.heard.pace.mark(now)

	if mark.Pods > 0 {
		r.heard.pace.pods = mark.Pods
		r.pods.Store(mark.Pods)
	}

	if r.guards.MarkWithoutFrom {
		mark.From = position.Stamp{}
	}
	if r.track.Mark(r.codec.Epoch(), mark.From, mark.To) != position.Advance {
		return false
	}

	r.barrier()
	return true
}

// applyGroup applies announced events. If every event of the group was applied here before, as with the pod's own, it
// is not delivered again.
func (r receiver) applyGroup(g wire.Group) {
	unknown := g.Also || len(g.IDs) == 0
	for _, id := range g.IDs {
		if r.track.Known(id) == 0 {
			unknown = true
			r.stats.received.Add(1)
		}
	}

	if unknown && (g.All || len(g.Keys) > 0) {
		r.deliverRemote(Delivery{
			Event: Event{Topic: g.Topic, Keys: g.Keys, All: g.All}, XIDs: g.Transactions(), CommittedAt: r.fresh.localTime(g.At),
		})
	}
	for _, id := range g.IDs {
		r.track.Remember(id, position.Announced|position.Applied)
	}
}

// savedNotifies is how many announcements a message stands for: what comes with a mark was found by a sweep, and each
// of its transactions would have been announced by itself. Events without a name come from writers that never announce.
func savedNotifies(m *wire.Message) int {
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
