package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// Commit commits the transaction, or releases the savepoint. After an error nothing was committed and nothing is
// published, with two exceptions: [ErrOutcomeUnknown] and [ErrTxEndedOutside].
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
	if t.lazy.Begun() && status == 'I' {
		return t.endedOutside(ctx)
	}

	if len(t.scope.events.events) == 0 || t.lazy.Begun() && status != 'T' {
		t.scope.done = true
		defer t.conn.Release()
		if err := t.inner.Commit(ctx); err != nil { // pgx.ErrTxCommitRollback for a transaction that has failed
			return fmt.Errorf("bus: commit: %w", err)
		}
		return nil
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
	_ = t.lazy.Abort(ctx) // if it fails, the connection is closed and the server rolls back
}

// endedOutside deals with a transaction that raw SQL has ended. What it did may be committed, so its events go out.
func (t *Tx) endedOutside(ctx context.Context) error {
	t.finish()
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

// pipeline sends the log rows and COMMIT in one go, with BEGIN before them if no statement has taken it along, and reads
// the results. If a row fails, the server skips COMMIT.
func (t *Tx) pipeline(ctx context.Context) error {
	conn := t.conn.Conn()
	events, err := writable(conn.PgConn(), t.scope.events.events)
	if err != nil {
		t.abandon(ctx)
		return fmt.Errorf("bus: commit: %w", err)
	}
	if t.bus.guards.AnnounceEarly {
		t.announceEarly(ctx, events)
	}

	begun := t.lazy.Begun()
	pg := conn.PgConn()
	closed := pg.IsClosed()
	xid := uint64(0)
	send := func() (pgconn.CommandTag, error) {
		return t.lazy.CommitWith(ctx, func(b *pgconn.Batch) { t.addRows(b, events) }, func(row [][]byte) { xid = xidOf(row) })
	}
	tag, err := send()
	if !begun && pgerr.IsUnknownStatement(err) && !pg.IsClosed() {
		// The prepared statements were discarded. Nothing else was in the transaction, so this can be sent again.
		t.unprepare(ctx)
		closed = pg.IsClosed()
		tag, err = send()
	}

	switch {
	case err == nil && tag.String() == "ROLLBACK":
		err = pgx.ErrTxCommitRollback

	case err == nil:
		t.finish()
		t.receipt = Receipt{epoch: t.epoch, xid: xid}
		t.bus.committed(events, t.receipt, 0)
		return nil

	case pgconn.SafeToRetry(err) && (closed || !pg.IsClosed()):
		// Nothing was sent: ctx had ended, or the connection was closed before. If it was closed since, pgx says the same
		// of a result that was lost: MultiResultReader forgets the first error, and reading on finds the connection closed.
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

	// The server has refused: a row, and then the transaction is still there, or BEGIN or COMMIT, and then there is none.
	err = explain(err)
	if errors.Is(err, ErrReadOnly) && pg.ParameterStatus("in_hot_standby") == "on" {
		err = fmt.Errorf("%w: %w", ErrNotPrimary, err)
	}
	if pg.TxStatus() == 'I' {
		t.scope.done = true
		t.lazy.Finish()
	} else {
		t.rollback(ctx)
	}
	if pgerr.IsUnknownStatement(err) {
		t.unprepare(ctx)
	}

	// The connection goes back last: from then on it is another's.
	t.conn.Release()
	return fmt.Errorf("bus: commit: %w", err)
}

// announceEarly is what a bus would do that did not know better. Only fault tests get here.
func (t *Tx) announceEarly(ctx context.Context, events []Event) {
	var xid string
	if err := t.inner.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		return
	}
	if n, err := strconv.ParseUint(xid, 10, 64); err == nil {
		t.bus.committed(events, Receipt{epoch: t.epoch, xid: n}, 0)
	}
}

// finish ends the transaction on our side, once the server has ended it on its own, and gives the connection back.
func (t *Tx) finish() {
	t.scope.done = true
	t.lazy.Finish()
	t.conn.Release()
}

// Types of insert_event.sql's parameters, all in binary.
var (
	insertOIDs    = []uint32{pgtype.Int4OID, pgtype.UUIDOID, pgtype.TextOID, pgtype.TextArrayOID, pgtype.BoolOID}
	insertFormats = []int16{1, 1, 1, 1, 1}
	resultFormats = []int16{1}
)

// addRows adds the log rows to a pgconn batch and not to a pgx one: that would follow the pool's exec mode, in which a UUID
// can fail.
func (t *Tx) addRows(b *pgconn.Batch, events []Event) {
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

// prepareInsert prepares what Commit sends, on a connection that it sees for the first time. Where the pool prepares
// nothing, as behind a pooler, it returns nil.
func (p *Postgres) prepareInsert(ctx context.Context, conn *pgx.Conn) (*pgconn.StatementDescription, error) {
	if !p.prepares {
		return nil, nil
	}
	return conn.Prepare(ctx, p.insertName, p.sql.insertEvent)
}

// unprepare makes this transaction go on with what is not prepared, and the next on this connection prepare again, after
// the prepared statements were discarded (DISCARD ALL). The connection must not have been released.
func (t *Tx) unprepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(detached(ctx), t.bus.statementTimeout())
	defer cancel()
	t.insert = nil
	t.lazy.Unprepare(ctx)
	_ = t.conn.Conn().Deallocate(ctx, t.bus.insertName) // if this fails, the connection is closed
}

// xidOf reads what insert_event.sql returns. The rows of one transaction all return the same.
func xidOf(row [][]byte) uint64 {
	if len(row) != 1 || len(row[0]) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(row[0])
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
