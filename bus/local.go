package bus

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Local is a bus for one process without a database, for tests and for programs that run as a single pod. It has the
// subscriptions of [Postgres], including queues and resets, and transactions that publish when they commit. It is
// always fresh. All methods are safe for concurrent use.
type Local struct {
	registry *registry
	stats    counters
	epoch    string
	xid      atomic.Uint64 // of the last transaction that has been delivered

	mu sync.Mutex // one transaction at a time, so that what Position says has been delivered
}

var _ Bus = (*Local)(nil)

// NewLocal returns a Local bus. It has no Run method and needs no Close: it has a goroutine only while it delivers
// queued events.
func NewLocal() *Local {
	l := &Local{epoch: "local-" + rand.Text()}
	l.registry = newRegistry(slog.Default(), &l.stats, DefaultQueueSize, func() {})
	return l
}

// Publish implements Bus.
func (l *Local) Publish(ctx context.Context, events ...Event) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	gathered, err := gather(events, DefaultMaxKeys)
	if err != nil || len(gathered) == 0 {
		return Receipt{}, err
	}
	return l.committed(gathered), nil
}

func (l *Local) committed(events []Event) Receipt {
	l.stats.published.Add(int64(len(events)))
	l.mu.Lock()
	defer l.mu.Unlock()
	xid := l.xid.Load() + 1
	for _, e := range events {
		l.registry.deliver(Delivery{Event: e, Local: true, XIDs: []uint64{xid}})
	}
	l.xid.Store(xid)
	return Receipt{epoch: l.epoch, xid: xid}
}

// Confirm implements [Bus]. It returns at once, because there is no other pod.
func (l *Local) Confirm(ctx context.Context, _ Receipt) error { return ctx.Err() }

// Subscribe implements Bus.
func (l *Local) Subscribe(topic string, s Subscriber) (unsubscribe func()) {
	l.mu.Lock() // what is being delivered is either delivered to it or in the position it begins at
	defer l.mu.Unlock()
	return l.registry.subscribe(topic, s)
}

// Fresh implements [Bus]. It always returns true.
func (l *Local) Fresh() bool { return true }

// State implements Bus.
func (l *Local) State() State { return Live }

// Stats returns the current counts.
func (l *Local) Stats() Stats {
	s := l.stats.snapshot()
	s.State, s.FreshAge, s.Pods, s.Epoch = Live, 0, 1, l.epoch
	return s
}

// Resets returns none: a Local bus never misses anything.
func (l *Local) Resets() []ResetRecord { return nil }

// Topics returns the topics that have subscribers, sorted by name.
func (l *Local) Topics() []TopicStats { return l.registry.stat() }

// Begin begins a transaction that has nothing but invalidations.
func (l *Local) Begin(ctx context.Context) (*LocalTx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &LocalTx{bus: l, scope: &scope{maxKeys: DefaultMaxKeys}}, nil
}

// LocalTx is the counterpart of [Tx] on a Local bus, without SQL. It must not be used concurrently.
type LocalTx struct {
	bus     *Local
	scope   *scope
	receipt Receipt
}

// Invalidate adds keys of a topic, like [Tx.Invalidate].
func (t *LocalTx) Invalidate(topic string, keys ...string) { t.scope.note(topic, keys, false) }

// InvalidateAll adds all keys of a topic.
func (t *LocalTx) InvalidateAll(topic string) { t.scope.note(topic, nil, true) }

// Refuse is for this module: other modules cannot name the type of its parameter. It makes Commit fail.
func (t *LocalTx) Refuse(_ hook.Token, err error) { t.scope.refuse(err) }

// Begin begins a savepoint.
func (t *LocalTx) Begin(context.Context) (*LocalTx, error) {
	if t.scope.closed() {
		return nil, pgx.ErrTxClosed
	}
	return &LocalTx{bus: t.bus, scope: t.scope.nest()}, nil
}

// Commit publishes the invalidations. On a savepoint it moves them to the surrounding transaction.
func (t *LocalTx) Commit(ctx context.Context) error {
	if t.scope.closed() {
		return pgx.ErrTxClosed
	}

	t.scope.adopt()

	if t.scope.parent != nil {
		t.scope.release()
		return nil
	}

	t.scope.done = true
	if err := t.scope.events.err; err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if events := t.scope.events.events; len(events) > 0 {
		t.receipt = t.bus.committed(events)
	}

	return nil
}

// Rollback discards the invalidations.
func (t *LocalTx) Rollback(context.Context) error {
	if t.scope.closed() {
		return pgx.ErrTxClosed
	}
	t.scope.drop()
	return nil
}

// Receipt returns the receipt of the commit. It is zero before Commit, and if nothing was invalidated.
func (t *LocalTx) Receipt() Receipt { return t.receipt }
