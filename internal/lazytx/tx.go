package lazytx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tx implements pgx.Tx and must not be used concurrently. Its connection belongs to the caller.
type Tx struct {
	conn    *pgx.Conn
	session *session
	options pgx.TxOptions
	begin   string // the text of BEGIN
	commit  string // and of COMMIT

	// Prepared ones; nil where nothing is prepared, or the text is not the plain one.
	beginStatement, commitStatement *pgconn.StatementDescription

	begun   bool             // BEGIN has been run
	inner   pgx.Tx           // pgx' transaction; nil until it is begun and a second statement needs one
	results pgx.BatchResults // what inner came from, and can be closed with
	refused error            // why BEGIN failed
	closed  bool             // ended, unless inner was ended
}

var _ pgx.Tx = (*Tx)(nil)

const (
	plainBegin  = "begin"
	plainCommit = "commit"
	beginName   = "pgc_begin"
	commitName  = "pgc_commit"
)

// beginTimeout bounds the BEGIN of methods that have no context.
const beginTimeout = 10 * time.Second

// Begin begins a transaction. It does I/O only if the connection is new to it, or if BEGIN cannot wait for the first
// statement (see the package's documentation).
func Begin(ctx context.Context, conn *pgx.Conn, options pgx.TxOptions) (*Tx, error) {
	t := &Tx{conn: conn, session: sessionOf(conn), options: options, begin: beginText(options), commit: options.CommitQuery}
	if t.commit == "" {
		t.commit = plainCommit
	}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if t.mustBegin() {
		if err := t.ensure(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// prepare prepares what every transaction on this connection sends, where the pool prepares at all.
func (t *Tx) prepare(ctx context.Context) (err error) {
	if t.session.mode != pgx.QueryExecModeCacheStatement {
		return nil
	}
	begin, err := t.conn.Prepare(ctx, beginName, plainBegin)
	if err != nil {
		return err
	}
	if t.session.noteBegin(begin); t.begin == plainBegin {
		t.beginStatement = beginWithoutRows
	}

	if t.commit == plainCommit {
		_, err = t.conn.Prepare(ctx, commitName, plainCommit)
		t.commitStatement = commitWithoutRows
	}
	return err
}

// What was prepared, with a column that the results do not have: of statements without columns pgconn asks the server each
// time whether there are any now, which costs both sides a message.
var (
	beginWithoutRows  = &pgconn.StatementDescription{Name: beginName, SQL: plainBegin, Fields: make([]pgconn.FieldDescription, 1)}
	commitWithoutRows = &pgconn.StatementDescription{Name: commitName, SQL: plainCommit, Fields: make([]pgconn.FieldDescription, 1)}
)

// mustBegin reports whether BEGIN cannot wait: it is not the text of pgx, or the protocol is the simple one.
func (t *Tx) mustBegin() bool {
	o := t.options
	return o.BeginQuery != "" || t.session.mode == pgx.QueryExecModeSimpleProtocol ||
		!slices.Contains([]pgx.TxIsoLevel{"", pgx.Serializable, pgx.RepeatableRead, pgx.ReadCommitted, pgx.ReadUncommitted}, o.IsoLevel) ||
		!slices.Contains([]pgx.TxAccessMode{"", pgx.ReadWrite, pgx.ReadOnly}, o.AccessMode) ||
		!slices.Contains([]pgx.TxDeferrableMode{"", pgx.Deferrable, pgx.NotDeferrable}, o.DeferrableMode)
}

// beginText returns the BEGIN that pgx would send.
func beginText(options pgx.TxOptions) string {
	if options == (pgx.TxOptions{CommitQuery: options.CommitQuery}) {
		return plainBegin
	}
	b := &pgx.Batch{}
	b.BeginTx(options)
	return b.QueuedQueries[0].SQL
}

// ensure sends BEGIN unless that was done. Afterwards there is a transaction of pgx.
func (t *Tx) ensure(ctx context.Context) (err error) {
	switch {
	case t.closed:
		return pgx.ErrTxClosed
	case t.begun:
		t.adopt()
		return nil
	case t.refused != nil:
		return t.refused
	}

	if _, err = t.conn.BeginTx(ctx, t.options); err != nil {
		t.refused = fmt.Errorf("begin: %w", err)
		return t.refused
	}
	t.begun = true
	t.adopt()
	return nil
}

// adopt makes pgx' transaction once BEGIN has been run. Most transactions are one statement and COMMIT, and do without. A
// batch of no queries sends nothing, so neither this nor closing the results does I/O; a test pins it.
func (t *Tx) adopt() {
	if t.inner != nil {
		return
	}
	b := &pgx.Batch{}
	b.BeginTx(t.options)
	b.QueuedQueries = nil
	t.results = t.conn.SendBatch(context.Background(), b)
	t.inner = t.results.Tx()
}

// Begun reports whether BEGIN has been run on the connection.
func (t *Tx) Begun() bool { return t.begun }

// Begin begins a savepoint, a transaction of pgx within this one.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.ensure(ctx); err != nil {
		return nil, err
	}
	return t.inner.Begin(ctx)
}

// Commit commits. Without BEGIN it sends nothing, and fails if BEGIN has failed.
func (t *Tx) Commit(ctx context.Context) error {
	if t.closed {
		return pgx.ErrTxClosed
	}
	if t.begun {
		t.adopt()
		return t.inner.Commit(ctx)
	}
	defer func() { t.closed = true }()

	// A statement has failed because the connection is lost, or ctx has ended: not even nothing can be committed.
	if t.conn.IsClosed() {
		return t.ensure(ctx)
	}
	if t.refused != nil {
		return t.refused
	}
	return ctx.Err()
}

// Rollback rolls back. Without BEGIN it sends nothing.
func (t *Tx) Rollback(ctx context.Context) error {
	if t.closed {
		return pgx.ErrTxClosed
	}
	if t.begun {
		t.adopt()
		return t.inner.Rollback(ctx)
	}
	t.closed = true
	return nil
}

// CommitWith sends BEGIN, unless it has been run, what add adds, and COMMIT as one pipeline. It calls row for every row that
// comes back, with values that are valid during the call, and returns what COMMIT returns. The server skips everything after
// the first that fails. What became of the transaction when there is an error, the caller finds out from the connection.
// Afterwards call Finish or Rollback.
func (t *Tx) CommitWith(ctx context.Context, add func(*pgconn.Batch), row func(values [][]byte)) (tag pgconn.CommandTag, err error) {
	b := &pgconn.Batch{}
	begins := !t.begun
	endBegin := func(pgconn.CommandTag, error) {}
	if begins {
		if t.refused != nil {
			return tag, t.refused
		}
		_, endBegin = t.session.trace(ctx, t.conn, t.begin, nil)
		t.addBegin(b)
	}
	add(b)
	ctx, endCommit := t.session.trace(ctx, t.conn, t.commit, nil)
	if t.commitStatement != nil {
		b.ExecStatement(t.commitStatement, nil, nil, nil)
	} else {
		b.ExecParams(t.commit, nil, nil, nil, nil)
	}

	results := t.conn.PgConn().ExecBatch(ctx, b)
	for results.NextResult() {
		result := results.ResultReader()
		for result.NextRow() {
			row(result.Values())
		}
		tag, err = result.Close()
		if begins {
			endBegin(tag, err)
			begins = false
		}
	}

	// The first error is what counts, and Close returns it.
	if err = results.Close(); err != nil {
		tag = pgconn.CommandTag{}
	}
	if begins {
		endBegin(pgconn.CommandTag{}, err)
	}
	endCommit(tag, err)
	return tag, err
}

func (t *Tx) addBegin(b *pgconn.Batch) {
	if t.beginStatement != nil {
		b.ExecStatement(t.beginStatement, nil, nil, nil)
	} else {
		b.ExecParams(t.begin, nil, nil, nil, nil)
	}
}

// Finish closes t without I/O, once the server has ended the transaction.
func (t *Tx) Finish() {
	t.closed = true
	if t.inner != nil {
		_ = t.results.Close() // the connection is in no transaction, so this closes inner
	}
}

// Abort rolls back whatever the connection is in, also if BEGIN went with CommitWith, and closes t.
func (t *Tx) Abort(ctx context.Context) error {
	if t.conn.PgConn().TxStatus() != 'I' {
		t.begun = true
	}
	return t.Rollback(ctx)
}

// Unprepare rolls back what CommitWith has left, drops what was prepared on the connection, and makes a further CommitWith
// send what is not prepared.
func (t *Tx) Unprepare(ctx context.Context) {
	if t.conn.PgConn().TxStatus() != 'I' {
		if _, err := t.conn.Exec(ctx, "rollback"); err != nil {
			_ = t.conn.Close(ctx)
			return
		}
	}

	t.beginStatement, t.commitStatement = nil, nil
	for _, name := range []string{beginName, commitName} {
		_ = t.conn.Deallocate(ctx, name) // if this fails, the connection is closed
	}
	t.session.forgetAll()
}

// CopyFrom implements pgx.Tx.
func (t *Tx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	if err := t.ensure(ctx); err != nil {
		return 0, err
	}
	return t.inner.CopyFrom(ctx, table, columns, source)
}

// SendBatch implements pgx.Tx.
func (t *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.ensure(ctx); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return t.inner.SendBatch(ctx, b)
}

// Prepare implements pgx.Tx.
func (t *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.ensure(ctx); err != nil {
		return nil, err
	}
	return t.inner.Prepare(ctx, name, sql)
}

// LargeObjects implements pgx.Tx.
func (t *Tx) LargeObjects() pgx.LargeObjects {
	if t.ensureOrClose() {
		return t.inner.LargeObjects()
	}

	// Every method of what is returned then returns pgx.ErrTxClosed.
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(b, pgx.ErrTxClosed).Tx().LargeObjects()
}

// Conn implements pgx.Tx. The transaction has begun on the connection, or the connection is closed.
func (t *Tx) Conn() *pgx.Conn {
	t.ensureOrClose()
	return t.conn
}

// ensureOrClose is ensure for methods without a context and without an error. A transaction that has ended does not touch the
// connection, which may be another's.
func (t *Tx) ensureOrClose() bool {
	ctx, cancel := context.WithTimeout(context.Background(), beginTimeout)
	defer cancel()
	err := t.ensure(ctx)
	if err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		_ = t.conn.Close(ctx)
	}
	return err == nil
}
