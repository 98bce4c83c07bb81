package bus

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lazytx"
)

// Tx is a transaction that publishes its invalidations when it commits, and nothing otherwise. It implements pgx.Tx
// and must not be used concurrently. Begin on it makes a savepoint; rolling back to it discards the savepoint's
// invalidations, too.
//
// Invalidations cost no round trip: Commit sends the log row and the COMMIT in one pipeline. When Commit returns nil,
// this pod's own caches have dropped the keys, and its other subscribers have the event in their queues.
type Tx struct {
	bus    *Postgres
	conn   *pgxpool.Conn
	inner  pgx.Tx                       // the same as lazy, or a savepoint
	lazy   *lazytx.Tx                   // nil for a savepoint
	insert *pgconn.StatementDescription // nil where the pool prepares nothing
	epoch  string

	scope   *scope
	receipt Receipt
}

var _ pgx.Tx = (*Tx)(nil)

// Begin begins a transaction on a connection of the pool. BEGIN is sent together with the first statement, or with
// COMMIT if there is none. So an error of BEGIN comes from there, and now() is the time of the first statement. BEGIN
// can travel with Exec with arguments, Query and QueryRow, unless the pool uses the simple protocol; everything else
// sends it separately.
func (p *Postgres) Begin(ctx context.Context) (*Tx, error) { return p.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx is Begin with options.
func (p *Postgres) BeginTx(ctx context.Context, options pgx.TxOptions) (*Tx, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("bus: begin: %w", err)
	}
	t := &Tx{
		bus: p, conn: conn, epoch: p.applier.epochNow(),
		scope: &scope{maxKeys: p.cfg.MaxKeys, readOnly: options.AccessMode == pgx.ReadOnly},
	}

	// Before BEGIN, so that a missing schema cannot abort the caller's transaction.
	if t.insert, err = p.prepareInsert(ctx, conn.Conn()); err == nil {
		t.lazy, err = lazytx.Begin(ctx, conn.Conn(), options)
	}
	if err != nil {
		conn.Release()
		return nil, fmt.Errorf("bus: begin: %w", explain(err))
	}
	t.inner = t.lazy
	return t, nil
}

// TxFrom returns the bus transaction behind a pgx.Tx, so that code that receives a transaction can invalidate in it.
// tx is a transaction or savepoint of a bus, or a wrapper with a method Unwrap() pgx.Tx that returns one. Otherwise
// TxFrom returns false.
func TxFrom(tx pgx.Tx) (*Tx, bool) {
	for tx != nil {
		if t, ok := tx.(*Tx); ok {
			return t, t != nil
		}
		wrapper, ok := tx.(interface{ Unwrap() pgx.Tx })
		if !ok {
			return nil, false
		}
		tx = wrapper.Unwrap()
	}
	return nil, false
}

// Invalidate calls [Tx.Invalidate] on a pgx.Tx that is a transaction of a bus or a savepoint in one. For any other
// transaction it returns [ErrForeignTx].
func Invalidate(tx pgx.Tx, topic string, keys ...string) error {
	t, ok := TxFrom(tx)
	if !ok {
		return ErrForeignTx
	}
	t.Invalidate(topic, keys...)
	return nil
}

// InvalidateAll is [Invalidate] for every key of a topic.
func InvalidateAll(tx pgx.Tx, topic string) error {
	t, ok := TxFrom(tx)
	if !ok {
		return ErrForeignTx
	}
	t.InvalidateAll(topic)
	return nil
}

// Invalidate marks keys of a topic as no longer valid once this transaction has committed. Without keys it is a
// no-op. An invalid topic or key makes Commit roll back and return the error.
func (t *Tx) Invalidate(topic string, keys ...string) { t.note(topic, keys, false) }

// InvalidateAll is Invalidate for every key of a topic.
func (t *Tx) InvalidateAll(topic string) { t.note(topic, nil, true) }

func (t *Tx) note(topic string, keys []string, all bool) {
	if !t.scope.note(topic, keys, all) {
		t.bus.log.Error("invalidation after the end of its transaction is lost", slog.String("topic", topic))
	}
}

// Refuse is for this module: other modules cannot name the type of its parameter. It makes Commit fail.
func (t *Tx) Refuse(_ hook.Token, err error) {
	if !t.scope.refuse(err) {
		t.bus.log.Error("invalidation after the end of its transaction is lost", slog.Any("error", err))
	}
}

// Receipt returns the receipt of this transaction after Commit. It is zero before, after a rollback, if nothing was
// invalidated, and for savepoints.
func (t *Tx) Receipt() Receipt { return t.receipt }

// Begin implements pgx.Tx. It is [Tx.Savepoint]; Invalidate and TxFrom accept its result.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	sp, err := t.Savepoint(ctx)
	if err != nil {
		return nil, err
	}
	return sp, nil
}

// Savepoint begins a savepoint, which is a transaction within this one. Its Commit releases the savepoint and moves
// its invalidations to this transaction. Its Rollback returns to the savepoint and discards them.
func (t *Tx) Savepoint(ctx context.Context) (*Tx, error) {
	if t.closed() {
		return nil, pgx.ErrTxClosed
	}
	inner, err := t.inner.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{bus: t.bus, conn: t.conn, inner: inner, scope: t.scope.nest()}, nil
}

// Rollback ends the transaction, or returns to the savepoint. After the end it returns pgx.ErrTxClosed.
func (t *Tx) Rollback(ctx context.Context) error {
	if t.closed() {
		return pgx.ErrTxClosed
	}
	t.scope.drop()
	err := t.inner.Rollback(ctx)
	if t.scope.parent == nil {
		t.conn.Release()
	}
	return err
}

func (t *Tx) closed() bool { return t.scope.closed() }

// release ends a savepoint. If that fails, the server has aborted the transaction around it.
func (t *Tx) release(ctx context.Context) error {
	t.scope.adopt()
	if err := t.inner.Commit(ctx); err != nil {
		t.scope.drop()
		return err
	}
	t.scope.release()
	return nil
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
func (t *Tx) LargeObjects() pgx.LargeObjects { return t.inner.LargeObjects() }

// Prepare implements pgx.Tx.
func (t *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if t.closed() {
		return nil, pgx.ErrTxClosed
	}
	return t.inner.Prepare(ctx, name, sql)
}

// Conn implements pgx.Tx. It sends BEGIN if that was not sent yet, and closes the connection if that fails. The
// connection must not be used after the end of the transaction.
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
