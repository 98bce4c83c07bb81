package cachetest

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Tx is a transaction on a [Bus], for code that calls a cache's InvalidateTx: it publishes when it commits, and
// nothing otherwise. It implements pgx.Tx and must not be used concurrently. Its statements run in the transaction
// that was passed to Wrap. Without one they do nothing: Exec succeeds, and queries return no row.
type Tx struct {
	bus     *Bus
	events  *bus.LocalTx
	inner   pgx.Tx // nil: there is no database
	outer   *Tx    // nil: it is no savepoint
	refused error  // why Commit fails
	receipt bus.Receipt
}

var (
	_ pgx.Tx           = (*Tx)(nil)
	_ hook.Invalidator = (*Tx)(nil)
)

// Begin begins a transaction without a database.
func (b *Bus) Begin(ctx context.Context) (*Tx, error) { return b.Wrap(ctx, nil) }

// Wrap returns a transaction that publishes, around one that does not, such as a real one on a test database, or a
// mock. Commit and Rollback end both.
func (b *Bus) Wrap(ctx context.Context, inner pgx.Tx) (*Tx, error) {
	b.cluster.mu.Lock()
	log := b.cluster.log
	b.cluster.mu.Unlock()
	events, err := log.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{bus: b, events: events, inner: inner}, nil
}

// InTx runs fn in a transaction without a database and commits it. It rolls back if fn returns an error or panics.
func (b *Bus) InTx(ctx context.Context, fn func(*Tx) error) (bus.Receipt, error) {
	t, err := b.Begin(ctx)
	if err != nil {
		return bus.Receipt{}, err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit this does nothing
	if err := fn(t); err != nil {
		return bus.Receipt{}, err
	}
	err = t.Commit(ctx)
	return t.Receipt(), err
}

// Invalidate adds keys of a topic. They become invalid when the transaction has committed.
func (t *Tx) Invalidate(topic string, keys ...string) { t.events.Invalidate(topic, keys...) }

// InvalidateAll adds every key of a topic.
func (t *Tx) InvalidateAll(topic string) { t.events.InvalidateAll(topic) }

// Refuse is for this module: other modules cannot name the type of its parameter. It makes Commit fail.
func (t *Tx) Refuse(token hook.Token, err error) {
	t.events.Refuse(token, err)
	if t.refused == nil {
		t.refused = err
	}
}

// Receipt returns the receipt of the transaction after Commit.
func (t *Tx) Receipt() bus.Receipt { return t.receipt }

// Begin begins a savepoint.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	events, err := t.events.Begin(ctx)
	if err != nil {
		return nil, err
	}
	nested := &Tx{bus: t.bus, events: events, outer: t}
	if t.inner != nil {
		if nested.inner, err = t.inner.Begin(ctx); err != nil {
			return nil, err
		}
	}
	return nested, nil
}

// Commit publishes the invalidations. On a savepoint it moves them to the surrounding transaction.
func (t *Tx) Commit(ctx context.Context) error {
	if t.outer == nil && t.refused != nil {
		_ = t.Rollback(ctx)
		return t.refused
	}

	if t.inner != nil {
		if err := t.inner.Commit(ctx); err != nil {
			_ = t.events.Rollback(ctx)
			return err
		}
	}

	if t.outer != nil {
		if t.outer.refused == nil {
			t.outer.refused = t.refused
		}
		return t.events.Commit(ctx)
	}

	err := t.bus.cluster.publish(t.bus, func(*bus.Local) error { return t.events.Commit(ctx) })
	t.receipt = t.events.Receipt()
	return err
}

// Rollback discards the invalidations. After the end it returns pgx.ErrTxClosed.
func (t *Tx) Rollback(ctx context.Context) error {
	err := t.events.Rollback(ctx)
	if t.inner != nil {
		return t.inner.Rollback(ctx)
	}
	return err
}

// Exec implements pgx.Tx.
func (t *Tx) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	if t.inner != nil {
		return t.inner.Exec(ctx, sql, arguments...)
	}
	return pgconn.CommandTag{}, nil
}

// Query implements pgx.Tx.
func (t *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if t.inner != nil {
		return t.inner.Query(ctx, sql, args...)
	}
	return noRows{}, nil
}

// QueryRow implements pgx.Tx.
func (t *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if t.inner != nil {
		return t.inner.QueryRow(ctx, sql, args...)
	}
	return noRows{}
}

// CopyFrom implements pgx.Tx.
func (t *Tx) CopyFrom(
	ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource,
) (int64, error) {
	if t.inner != nil {
		return t.inner.CopyFrom(ctx, table, columns, source)
	}
	return 0, nil
}

// SendBatch implements pgx.Tx.
func (t *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.inner != nil {
		return t.inner.SendBatch(ctx, b)
	}
	return pgx.FailedBatchResults(b, pgx.ErrNoRows)
}

// LargeObjects implements pgx.Tx. Without a database they cannot be used.
func (t *Tx) LargeObjects() pgx.LargeObjects {
	if t.inner != nil {
		return t.inner.LargeObjects()
	}
	return pgx.LargeObjects{}
}

// Prepare implements pgx.Tx.
func (t *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if t.inner != nil {
		return t.inner.Prepare(ctx, name, sql)
	}
	return &pgconn.StatementDescription{Name: name, SQL: sql}, nil
}

// Conn implements pgx.Tx. It returns nil without a database.
func (t *Tx) Conn() *pgx.Conn {
	if t.inner != nil {
		return t.inner.Conn()
	}
	return nil
}

// noRows is the result of a query without a database.
type noRows struct{}

var _ pgx.Rows = noRows{}

func (noRows) Close()                                       {}
func (noRows) Err() error                                   { return nil }
func (noRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (noRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (noRows) Next() bool                                   { return false }
func (noRows) Scan(...any) error                            { return pgx.ErrNoRows }
func (noRows) Values() ([]any, error)                       { return nil, pgx.ErrNoRows }
func (noRows) RawValues() [][]byte                          { return nil }
func (noRows) Conn() *pgx.Conn                              { return nil }
func (noRows) TypeMap() *pgtype.Map                         { return pgtype.NewMap() }
