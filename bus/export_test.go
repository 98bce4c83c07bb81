package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// Queries lists the embedded statements by name, for a test that prepares each one.
func Queries(schema string) map[string]string {
	q := loadQueries(schema)
	return map[string]string{
		"beat": q.beat, "beats": q.beats, "confirm": q.confirm, "history": q.history, "positions": q.positions, "create_epoch": q.createEpoch, "deregister": q.deregister,
		"difference": q.difference, "difference_names": q.differenceNames, "difference_topics": q.differenceTopics, "insert_event": q.insertEvent,
		"insert_events": q.insertEvents, "lease": q.lease, "notify": q.notify, "pods": q.pods, "prune": q.prune,
		"privileges": q.privileges, "pruned": q.pruned, "tidy": q.tidy, "keep": q.keep, "kept": q.kept, "reap": q.reap, "register": q.register, "transaction": q.transaction,
		"ask": q.ask, "question": q.question, "reply": q.reply, "replies": q.replies, "asked_done": q.askedDone, "asked_old": q.askedOld, "measure": q.measure,
	}
}

// QueryFiles is how many statements are embedded.
func QueryFiles() (int, error) {
	entries, err := queryFiles.ReadDir("query")
	return len(entries), err
}

// OwnSession makes a connection as the bus makes its own.
func OwnSession(ctx context.Context, pool *pgxpool.Pool) (*pgx.Conn, error) {
	conn, err := newConnections(pool, &Config{}).Dial(ctx, "test", 10*time.Second)
	if err != nil {
		return nil, err
	}
	return conn.Conn, nil
}

// SweepReads returns what a sweep finds from a base, by reading all events and by reading names first, if the pod has heard
// some events announced: head and events as text.
func (p *Postgres) SweepReads(ctx context.Context, conn *pgx.Conn, base string, announced map[uint64][]int32) (all, left []string, err error) {
	s, err := position.ParseSnapshot(base)
	if err != nil {
		return nil, nil, err
	}
	for xid, numbers := range announced {
		for _, n := range numbers {
			p.applier.track.Remember(position.EventID{XID: xid, N: n}, position.Announced)
		}
	}

	from := position.Difference{Base: s, BaseOf: "any"}
	describe := func(d *difference) []string {
		texts := []string{fmt.Sprint(d.head.Epoch, " ", d.head.PrunedTo, " ", d.overflow, " ", d.head.Current.Stamp().AtLeast(s.Stamp()))}
		for _, e := range p.applier.unannounced(d.events) {
			texts = append(texts, fmt.Sprint(e))
		}
		slices.Sort(texts[1:])
		return texts
	}
	for _, namesFirst := range []bool{false, true} {
		r := sweepReading{env: p.env, applier: p.applier, namesFirst: namesFirst}
		d, err := r.read(ctx, conn, from)
		if err != nil {
			return nil, nil, err
		}
		all, left = left, describe(d)
	}
	return all, left, nil
}

// MaxNames is how many names a sweep reads.
const MaxNames = maxNames

// Channel is the notification channel.
func (p *Postgres) Channel() string { return p.channel() }

// Payload signs a payload as a pod of this epoch would.
func (p *Postgres) Payload(events ...Event) []string {
	wires := make([]wire.Event, len(events))
	for i, e := range events {
		wires[i] = wire.Event{Topic: e.Topic, Keys: e.Keys, All: e.All}
	}
	return p.applier.status().codec.Pack(wires, nil, false, p.cfg.MaxKeys)
}

// MarkPayload signs a mark from a snapshot to itself, with which all pods are asked to beat.
func (p *Postgres) MarkPayload(t require.TestingT, snapshot string) string {
	at, err := position.ParseSnapshot(snapshot)
	require.NoError(t, err)
	return p.applier.status().codec.Pack(nil, &wire.Mark{From: at.Stamp(), To: at.Stamp()}, true, 1)[0]
}

// PayloadOf signs a payload of events with a name, as of one transaction.
func (p *Postgres) PayloadOf(xid uint64, events ...Event) []string {
	wires := make([]wire.Event, len(events))
	for i, e := range events {
		wires[i] = wire.Event{
			ID: position.EventID{XID: xid, N: int32(i)}, HasID: true, Topic: e.Topic, Keys: e.Keys, All: e.All,
		}
	}
	return p.applier.status().codec.Pack(wires, nil, false, p.cfg.MaxKeys)
}

// Committed is what follows the commit of a transaction.
func (p *Postgres) Committed(xid uint64, events ...Event) {
	p.committed(events, Receipt{epoch: p.applier.epochNow(), xid: xid}, 0)
}

// Notification handles a payload as if it had arrived, and tells whether it calls for a read of the difference.
func (p *Postgres) Notification(payload string) bool {
	return !p.registry.hint(payload) && receiver{p.applier}.receive(payload).read
}

// Difference reads the difference to a snapshot.
func (p *Postgres) Difference(ctx context.Context, conn *pgx.Conn, base string) (keys []string, current string, err error) {
	s, err := position.ParseSnapshot(base)
	if err != nil {
		return nil, "", err
	}
	d, err := logReader{p.env}.read(ctx, conn, position.Difference{Base: s, BaseOf: "some"}, false)
	if err != nil {
		return nil, "", err
	}
	for _, e := range d.events {
		keys = append(keys, e.Keys...)
	}
	return keys, d.head.Current.String(), nil
}

// EventsOf returns what a transaction would publish.
func EventsOf(t *LocalTx) []Event { return t.scope.events.events }

// WatchedFor makes believe that the pod has watched its epoch for longer.
func (p *Postgres) WatchedFor(d time.Duration) {
	p.applier.mu.Lock()
	defer p.applier.mu.Unlock()
	p.applier.since = p.applier.since.Add(-d)
}
