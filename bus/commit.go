package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// Commit commits, or releases the savepoint. When it returns an error, nothing was committed and nothing is published,
// with two exceptions that it names: ErrOutcomeUnknown, and ErrTxEndedOutside.
func (t *Tx) Commit(ctx context.Context) error {
	switch {
	case t.closed():
		return pgx.ErrTxClosed
	case t.scope.parent != nil:
		return t.release(ctx)
	}
	t.scope.adopt()
	if err := t.scope.events.err; err != nil {
		t.abandon(ctx)
		return fmt.Errorf("bus: commit: %w", err)
	}
	status := t.conn.Conn().PgConn().TxStatus()
	if status == 'I' {
		return t.endedOutside(ctx)
	}
	if len(t.scope.events.events) == 0 || status != 'T' {
		t.scope.done = true
		defer t.conn.Release()
		return t.inner.Commit(ctx) // a transaction that failed answers ErrTxCommitRollback
	}
	return t.pipeline(ctx)
}

// abandon rolls back and gives the connection back.
func (t *Tx) abandon(ctx context.Context) {
	t.rollback(ctx)
	t.conn.Release()
}

// rollback rolls back whatever became of ctx, within a bound, and keeps the connection if that works.
func (t *Tx) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(detached(ctx), t.bus.statementTimeout())
	defer cancel()
	t.scope.drop()
	_ = t.inner.Rollback(ctx) // if it fails, the connection is closed and the server rolls back
}

// endedOutside deals with a transaction that raw SQL has ended. What it did may be committed, so its events go out.
func (t *Tx) endedOutside(ctx context.Context) error {
	t.scope.done = true
	t.conn.Release()
	if len(t.scope.events.events) == 0 {
		return ErrTxEndedOutside
	}
	receipt, err := t.bus.Publish(ctx, t.scope.events.events...)
	if err != nil {
		t.bus.uncertain(t.scope.events.events)
		return fmt.Errorf("%w, and its events could not be published: %w", ErrTxEndedOutside, err)
	}
	t.receipt = receipt
	return ErrTxEndedOutside
}

// pipeline sends the log rows and COMMIT in one go and reads both answers. If a row fails, the server skips COMMIT.
func (t *Tx) pipeline(ctx context.Context) error {
	events := t.scope.events.events
	conn := t.conn.Conn()
	if t.bus.guards.AnnounceEarly {
		t.announceEarly(ctx, conn, events)
	}
	pg := conn.PgConn()
	closed := pg.IsClosed()
	results, err := pg.ExecBatch(ctx, t.batch(events)).ReadAll()
	xid := xidOf(results)
	switch {
	case err == nil && results[len(results)-1].CommandTag.String() == "ROLLBACK":
		err = pgx.ErrTxCommitRollback
	case err == nil:
		t.finish()
		t.receipt = Receipt{epoch: t.epoch, xid: xid}
		t.bus.committed(events, t.receipt, 0)
		return nil
	case pgconn.SafeToRetry(err) && (closed || !pg.IsClosed()):
		// Nothing was sent: ctx had ended, or the connection was closed before. If it was closed since, pgx says the same
		// of an answer that was lost: MultiResultReader forgets the first error, and reading on finds the connection closed.
		t.abandon(ctx)
		return fmt.Errorf("bus: commit: %w", err)
	case pg.IsClosed():
		t.finish()
		t.receipt = Receipt{epoch: t.epoch, xid: xid}
		t.bus.uncertain(events)
		if pgconn.SafeToRetry(err) {
			return fmt.Errorf("%w: %v", ErrOutcomeUnknown, err) //nolint:errorlint // wrapped, it would say that trying again is safe
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	// The server has refused: a row, and then the transaction is still there, or COMMIT, and then it is gone.
	if pg.TxStatus() == 'I' {
		t.scope.done = true
		t.closeInner()
	} else {
		t.rollback(ctx)
	}

	// The connection goes back last: from then on it is another's.
	t.forgetStatements(conn, err)
	t.conn.Release()
	err = explain(err)
	if errors.Is(err, ErrReadOnly) && pg.ParameterStatus("in_hot_standby") == "on" {
		err = fmt.Errorf("%w: %w", ErrNotPrimary, err)
	}
	return fmt.Errorf("bus: commit: %w", err)
}

// announceEarly is what a bus would do that did not know better. Only fault tests get here.
func (t *Tx) announceEarly(ctx context.Context, conn *pgx.Conn, events []Event) {
	var xid string
	if err := conn.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		return
	}
	if n, err := strconv.ParseUint(xid, 10, 64); err == nil {
		t.bus.committed(events, Receipt{epoch: t.epoch, xid: n}, 0)
	}
}

// finish ends the transaction on our side, once the server has ended it on its own, and gives the connection back.
func (t *Tx) finish() {
	t.scope.done = true
	t.closeInner()
	t.conn.Release()
}

// closeInner closes pgx' transaction, which does not know yet that the server has ended it. Only handles of large
// objects refer to it.
func (t *Tx) closeInner() {
	if !*t.large {
		return
	}

	// With a context that has ended this does no I/O, and the connection stays in the pool. (It follows from pgx' order
	// of checks; a test pins it.)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = t.inner.Commit(ctx)
}

// Types of insert_event.sql's parameters, all in binary.
var (
	insertOIDs    = []uint32{pgtype.Int4OID, pgtype.UUIDOID, pgtype.TextOID, pgtype.TextArrayOID, pgtype.BoolOID}
	insertFormats = []int16{1, 1, 1, 1, 1}
	resultFormats = []int16{1}
)

// batch is a pgconn batch and not a pgx one: that would follow the pool's exec mode, in which a UUID can fail.
func (t *Tx) batch(events []Event) *pgconn.Batch {
	b := new(pgconn.Batch)
	for i, e := range events {
		whole := byte(0)
		if e.All {
			whole = 1
		}
		params := [][]byte{binary.BigEndian.AppendUint32(nil, uint32(i)), t.bus.id[:], []byte(e.Topic), textArray(e.Keys), {whole}}
		if t.insert != nil {
			b.ExecStatement(t.insert, params, insertFormats, resultFormats)
		} else {
			b.ExecParams(t.bus.sql.insertEvent, params, insertOIDs, insertFormats, resultFormats)
		}
	}
	if t.end != nil {
		b.ExecStatement(t.end, nil, nil, nil)
	} else {
		b.ExecParams(t.commit, nil, nil, nil, nil)
	}
	return b
}

// textArray is the binary form of text[] (array_recv in Postgres' arrayfuncs.c). A type map would do the same through
// reflection, for a twentieth of the client's time.
func textArray(items []string) []byte {
	size := 20
	for _, item := range items {
		size += 4 + len(item)
	}
	b := make([]byte, 0, size)
	dimensions := uint32(1)
	if len(items) == 0 {
		dimensions = 0
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 0) // no nulls
	b = binary.BigEndian.AppendUint32(b, pgtype.TextOID)
	if dimensions == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(items)))
	b = binary.BigEndian.AppendUint32(b, 1) // lower bound
	for _, item := range items {
		b = binary.BigEndian.AppendUint32(b, uint32(len(item)))
		b = append(b, item...)
	}
	return b
}

// prepare prepares what Commit sends, on a connection that sees it for the first time; nothing where the pool prepares
// nothing, as behind a pooler.
func (t *Tx) prepare(ctx context.Context) (err error) {
	if !t.bus.prepares {
		return nil
	}
	conn := t.conn.Conn()
	if t.insert, err = conn.Prepare(ctx, t.bus.insertName(), t.bus.sql.insertEvent); err != nil {
		return fmt.Errorf("bus: begin: %w", explain(err))
	}
	if t.commit == plainCommit {
		if t.end, err = conn.Prepare(ctx, commitName, plainCommit); err != nil {
			return fmt.Errorf("bus: begin: %w", err)
		}
	}
	return nil
}

const (
	plainCommit = "commit"
	commitName  = "pgc_commit"
)

func (p *Postgres) insertName() string { return "pgc_event_" + p.cfg.Schema }

// forgetStatements makes the next transaction on this connection prepare its statements again after somebody discarded
// them (DISCARD ALL). The connection must not have been released.
func (t *Tx) forgetStatements(conn *pgx.Conn, err error) {
	if pgerr.IsUnknownStatement(err) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Deallocate(ctx, t.bus.insertName())
		_ = conn.Deallocate(ctx, commitName)
	}
}

func xidOf(results []*pgconn.Result) uint64 {
	if len(results) == 0 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 || len(results[0].Rows[0][0]) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(results[0].Rows[0][0])
}

// explain adds what an error of the server means for the bus.
func explain(err error) error {
	switch {
	case pgerr.IsMissingObject(err):
		return fmt.Errorf("%w: %w", ErrSchema, err)
	case pgerr.IsReadOnly(err):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}
