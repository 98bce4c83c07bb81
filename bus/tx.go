package bus

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is a transaction that publishes what it invalidates when it commits, and nothing when it does not. It is a pgx.Tx
// and, like one, for one goroutine at a time. Begin on it makes a savepoint whose invalidations share its fate.
//
// Invalidations cost no round trip: Commit sends the log row and the COMMIT as one pipeline. When Commit returns nil,
// this pod's own caches have dropped the keys, or have them at hand in their queues.
type Tx struct {
	bus    *Postgres
	conn   *pgxpool.Conn
	inner  pgx.Tx
	parent *Tx // nil for the transaction itself, else the transaction or savepoint around this savepoint
	commit string
	insert *pgconn.StatementDescription // nil where the pool prepares nothing
	epoch  string

	events  pending
	open    []*Tx // savepoints begun on this one; Commit keeps those that are still open
	done    bool
	large   bool // large objects were asked for: they hold on to inner
	receipt Receipt
}

var _ pgx.Tx = (*Tx)(nil)

// Begin begins a transaction on a connection of the pool.
func (p *Postgres) Begin(ctx context.Context) (*Tx, error) { return p.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx begins a transaction with options.
func (p *Postgres) BeginTx(ctx context.Context, options pgx.TxOptions) (*Tx, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("bus: begin: %w", err)
	}
	t := &Tx{bus: p, conn: conn, commit: cmp.Or(options.CommitQuery, "commit"), epoch: p.applier.epochNow()}
	// Before BEGIN, so that a missing schema cannot abort the caller's transaction.
	if t.insert, err = p.prepareInsert(ctx, conn.Conn()); err != nil {
		conn.Release()
		return nil, err
	}
	if t.inner, err = conn.Conn().BeginTx(ctx, options); err != nil {
		conn.Release()
		return nil, fmt.Errorf("bus: begin: %w", err)
	}
	return t, nil
}

// InTx runs fn in a transaction and commits it, or rolls it back if fn returns an error or panics.
func (p *Postgres) InTx(ctx context.Context, fn func(*Tx) error) (Receipt, error) {
	t, err := p.Begin(ctx)
	if err != nil {
		return Receipt{}, err
	}
	defer func() { _ = t.Rollback(detached(ctx)) }() // after Commit this does nothing
	if err := fn(t); err != nil {
		return Receipt{}, err
	}
	if err := t.Commit(ctx); err != nil {
		return t.Receipt(), err
	}
	return t.Receipt(), nil
}

// TxFrom finds the bus' transaction in a pgx.Tx, so that code which is handed a transaction can invalidate in it.
func TxFrom(tx pgx.Tx) (*Tx, bool) {
	t, ok := tx.(*Tx)
	return t, ok && t != nil
}

// Invalidate notes that keys of a topic are no longer valid once this transaction has committed. No keys: nothing. The
// first bad topic or key makes Commit roll back and return the error.
func (t *Tx) Invalidate(topic string, keys ...string) { t.note(topic, keys, false) }

// InvalidateAll is the same for every key of a topic.
func (t *Tx) InvalidateAll(topic string) { t.note(topic, nil, true) }

// note adds to the innermost of this transaction and those around it that has not ended: an invalidation that comes
// after a savepoint was released still counts.
func (t *Tx) note(topic string, keys []string, all bool) {
	for t.done {
		if t.parent == nil {
			t.bus.log.Error("invalidation after the end of its transaction is lost", slog.String("topic", topic))
			return
		}
		t = t.parent
	}
	t.events.add(topic, keys, all, t.bus.cfg.MaxKeys)
}

// Receipt identifies this transaction after Commit; zero before, after a rollback, if nothing was invalidated, and for
// savepoints.
func (t *Tx) Receipt() Receipt { return t.receipt }

// Begin begins a savepoint; it is a *Tx as well. Its invalidations vanish when it is rolled back.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	if t.closed() {
		return nil, pgx.ErrTxClosed
	}
	inner, err := t.inner.Begin(ctx)
	if err != nil {
		return nil, err
	}
	savepoint := &Tx{bus: t.bus, conn: t.conn, inner: inner, parent: t}
	t.open = append(t.open, savepoint)
	return savepoint, nil
}

// Rollback ends the transaction, or goes back to the savepoint. After the end it returns pgx.ErrTxClosed.
func (t *Tx) Rollback(ctx context.Context) error {
	if t.closed() {
		return pgx.ErrTxClosed
	}
	t.done = true
	t.events = pending{}
	err := t.inner.Rollback(ctx)
	if t.parent == nil {
		t.conn.Release()
	}
	return err
}

// closed says whether this transaction or one around it has ended.
func (t *Tx) closed() bool {
	for ; t != nil; t = t.parent {
		if t.done {
			return true
		}
	}
	return false
}

// release ends a savepoint by keeping what was done since; its invalidations are the outer transaction's now.
func (t *Tx) release(ctx context.Context) error {
	t.adopt()
	t.done = true
	if err := t.inner.Commit(ctx); err != nil {
		return err
	}
	t.parent.events.absorb(&t.events, t.bus.cfg.MaxKeys)
	return nil
}

// adopt takes over the invalidations of savepoints that are still open: COMMIT and RELEASE keep what was done in them.
func (t *Tx) adopt() {
	for _, savepoint := range t.open {
		if !savepoint.done {
			savepoint.adopt()
			t.events.absorb(&savepoint.events, t.bus.cfg.MaxKeys)
		}
	}
	t.open = nil
}

// Exec implements pgx.Tx.
func (t *Tx) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	if t.closed() {
		return pgconn.CommandTag{}, pgx.ErrTxClosed
	}
	return t.inner.Exec(ctx, sql, arguments...)
}

// Query implements pgx.Tx.
func (t *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if t.closed() {
		return closedRows{}, pgx.ErrTxClosed
	}
	return t.inner.Query(ctx, sql, args...)
}

// QueryRow implements pgx.Tx.
func (t *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if t.closed() {
		return closedRows{}
	}
	return t.inner.QueryRow(ctx, sql, args...)
}

// CopyFrom implements pgx.Tx.
func (t *Tx) CopyFrom(
	ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource,
) (int64, error) {
	if t.closed() {
		return 0, pgx.ErrTxClosed
	}
	return t.inner.CopyFrom(ctx, table, columns, source)
}

// SendBatch implements pgx.Tx.
func (t *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.closed() {
		return pgx.FailedBatchResults(b, pgx.ErrTxClosed)
	}
	return t.inner.SendBatch(ctx, b)
}

// LargeObjects implements pgx.Tx.
func (t *Tx) LargeObjects() pgx.LargeObjects {
	for outer := t; outer != nil; outer = outer.parent {
		outer.large = true
	}
	return t.inner.LargeObjects()
}

// Prepare implements pgx.Tx.
func (t *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if t.closed() {
		return nil, pgx.ErrTxClosed
	}
	return t.inner.Prepare(ctx, name, sql)
}

// Conn implements pgx.Tx. It must not be used after the transaction has ended.
func (t *Tx) Conn() *pgx.Conn { return t.inner.Conn() }

// closedRows are the rows of a transaction that has ended.
type closedRows struct{}

func (closedRows) Close()                                       {}
func (closedRows) Err() error                                   { return pgx.ErrTxClosed }
func (closedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (closedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (closedRows) Next() bool                                   { return false }
func (closedRows) Scan(...any) error                            { return pgx.ErrTxClosed }
func (closedRows) Values() ([]any, error)                       { return nil, pgx.ErrTxClosed }
func (closedRows) RawValues() [][]byte                          { return nil }
func (closedRows) Conn() *pgx.Conn                              { return nil }
func (closedRows) TypeMap() *pgtype.Map                         { return pgtype.NewMap() }

// detached is a context for ending things after ctx has ended.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
