package bus

import (
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// Publish implements [Bus]. It works whether or not Run does: when it returns nil the event is in the log, and if
// this bus does not announce it, the sweep of another pod does.
func (p *Postgres) Publish(ctx context.Context, events ...Event) (Receipt, error) {
	gathered, err := gather(events, p.cfg.MaxKeys)
	if err != nil || len(gathered) == 0 {
		return Receipt{}, err
	}
	return p.InTx(ctx, func(tx *Tx) error {
		tx.scope.events.events = gathered
		return nil
	})
}

// committed is what follows a commit: own subscribers first, then the announcement. The receipt names
// the events: its epoch was read before the transaction wrote them, so they are never taken for those of a later epoch in
// which the same transaction id was given again.
func (p *Postgres) committed(events []Event, r Receipt, firstN int32) {
	now := time.Now()
	p.stats.published.Add(int64(len(events)))

	if p.asciiOnly.Load() {
		events = asASCII(events)
	}
	ids := make([]position.EventID, len(events))
	wires := make([]wire.Event, len(events))
	at := p.applier.fresh.databaseTime(now)
	for i, e := range events {
		ids[i] = position.EventID{XID: r.xid, N: firstN + int32(i)}
		wires[i] = wire.Event{ID: ids[i], HasID: true, Topic: e.Topic, Keys: e.Keys, All: e.All, At: at}
	}
	p.applier.deliverCommitted(events, now, r.epoch, ids)
	p.outbox.put(r.epoch, wires)
}

// uncertain is what follows a commit whose result was lost: own subscribers drop the keys; if it did commit, the sweep
// finds the events.
func (p *Postgres) uncertain(events []Event) {
	p.stats.uncertain.Add(1)
	p.applier.deliverUncertain(events, time.Now())
}
