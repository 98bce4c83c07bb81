package lazytx

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// Exec implements pgx.Tx.
func (t *Tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if !t.begun {
		tag, done, err := t.execFirst(ctx, sql, args)
		if done {
			return tag, err
		}
	}
	if err := t.ensure(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return t.inner.Exec(ctx, sql, args...)
}

// Query implements pgx.Tx.
func (t *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if !t.begun {
		rows, done, err := t.queryFirst(ctx, sql, args)
		if done {
			return rows, err
		}
	}
	if err := t.ensure(ctx); err != nil {
		return failedRows{err}, err
	}
	return t.inner.Query(ctx, sql, args...)
}

// QueryRow implements pgx.Tx.
func (t *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if !t.begun {
		rows, done, err := t.queryFirst(ctx, sql, args)
		switch {
		case done && err != nil:
			return failedRows{err}
		case done:
			return firstRow{rows}
		}
	}
	if err := t.ensure(ctx); err != nil {
		return failedRows{err}
	}
	return t.inner.QueryRow(ctx, sql, args...)
}

// execFirst executes the first statement together with BEGIN. If done is false nothing has happened, and the usual way
// remains.
func (t *Tx) execFirst(ctx context.Context, sql string, args []any) (tag pgconn.CommandTag, done bool, err error) {
	text, values, ok := t.pipelined(ctx, sql, args)
	if !ok || len(values) == 0 { // without arguments pgx uses the simple protocol
		return tag, false, nil
	}

	f, done, err := t.send(ctx, sql, args, text, values, false, func(int, int) error {
		return errors.New("mismatched param and argument count")
	})
	if err != nil || !done {
		return tag, done, err
	}
	if f.results.NextResult() {
		tag, _ = f.results.ResultReader().Close()
	}

	err = f.end(tag)
	return tag, true, err
}

// queryFirst is the same for a query. A server's error comes from the rows.
func (t *Tx) queryFirst(ctx context.Context, sql string, args []any) (rows *firstRows, done bool, err error) {
	text, values, ok := t.pipelined(ctx, sql, args)
	if !ok {
		return nil, false, nil
	}

	f, done, err := t.send(ctx, sql, args, text, values, true, func(want, got int) error {
		return fmt.Errorf("expected %d arguments, got %d", want, got)
	})
	if !done {
		return nil, false, nil
	}

	if err != nil {
		rows = &firstRows{Rows: failedRows{err}, closed: true, err: err}
		if f != nil {
			err = nil // pgx finds what went wrong on the way when the rows are read
		}
		return rows, true, err
	}

	rows = &firstRows{first: f}
	if !f.results.NextResult() {
		rows.closed = true
		rows.err = f.end(pgconn.CommandTag{})
		rows.Rows = failedRows{rows.err}
		return rows, true, nil
	}

	rows.Rows = pgx.RowsFromResultReader(t.conn.TypeMap(), f.results.ResultReader())
	return rows, true, nil
}

// pipelined reports whether a first statement can go with BEGIN, and returns it with named arguments resolved.
func (t *Tx) pipelined(ctx context.Context, sql string, args []any) (text string, values []any, ok bool) {
	if t.closed || t.refused != nil || t.session.mode == pgx.QueryExecModeSimpleProtocol {
		return "", nil, false
	}

	// A text without blanks is likely the name of a statement that the application has prepared.
	if !strings.ContainsAny(sql, " \t\r\n") {
		return "", nil, false
	}
	if len(args) == 0 {
		return sql, nil, true
	}

	switch first := args[0].(type) {
	case pgx.NamedArgs, pgx.StrictNamedArgs:
		if len(args) > 1 {
			return "", nil, false
		}
		rewriter, _ := first.(pgx.QueryRewriter)
		text, values, err := rewriter.RewriteQuery(ctx, t.conn, sql, nil)
		return text, values, err == nil
	case pgx.QueryRewriter, pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return "", nil, false
	}
	return sql, args, true
}

// first is a first statement that was sent: BEGIN has been run, and the statement's results are to be read.
type first struct {
	tx      *Tx
	text    string
	results *pgconn.MultiResultReader
	// What the statement's results look like: of a prepared statement the server does not say so again.
	description *pgconn.StatementDescription
	formats     []int16
	trace       func(pgconn.CommandTag, error)
}

// send sends BEGIN and a statement, whose rows are read or not, as one pipeline, and reads the result of BEGIN. If done is
// false, or err is not nil, BEGIN has not been run and nothing has happened; then f is nil if nothing was sent either.
func (t *Tx) send(
	ctx context.Context, sql string, args []any, text string, values []any, rows bool, mismatch func(want, got int) error,
) (f *first, done bool, err error) {
	s, pg := t.session, t.conn.PgConn()
	var sd *pgconn.StatementDescription
	if s.mode != pgx.QueryExecModeExec {
		st, err := s.describe(ctx, t.conn, text)
		if err != nil {
			return nil, !t.canRepeat(err), err
		}
		if sd = st.description; !rows {
			sd = st.rowless
		}
		if len(sd.ParamOIDs) != len(values) {
			return nil, true, mismatch(len(sd.ParamOIDs), len(values))
		}
	}
	if err = s.builder.Build(t.conn.TypeMap(), sd, values); err != nil {
		return nil, true, err
	}

	b := &pgconn.Batch{}
	t.addBegin(b)
	f = &first{tx: t, text: text, description: sd}
	switch {
	case sd == nil:
		b.ExecParams(text, s.builder.ParamValues, nil, s.builder.ParamFormats, s.builder.ResultFormats)
	case sd.Name == "":
		b.ExecParams(text, s.builder.ParamValues, sd.ParamOIDs, s.builder.ParamFormats, s.builder.ResultFormats)
	default:
		f.formats = append([]int16(nil), s.builder.ResultFormats...) // read after the builder is used again
		b.ExecStatement(sd, s.builder.ParamValues, s.builder.ParamFormats, f.formats)
	}

	_ = s.builder.Build(t.conn.TypeMap(), nil, nil) // lets go of the arguments

	_, endBegin := s.trace(ctx, t.conn, t.begin, nil)
	ctx, f.trace = s.trace(ctx, t.conn, sql, args)
	f.results = pg.ExecBatch(ctx, b)
	var tag pgconn.CommandTag
	begun := f.results.NextResult()
	if begun {
		tag, err = f.results.ResultReader().Close()
		begun = err == nil
	}
	if !begun {
		err = f.results.Close()
		endBegin(tag, err)
		f.trace(pgconn.CommandTag{}, err)
		if pgerr.IsUnknownStatement(err) {
			s.forgetAll()
		}
		return f, !t.canRepeat(err), err
	}
	endBegin(tag, nil)
	t.begun = true
	return f, true, nil
}

// canRepeat reports whether the usual way remains after an error before BEGIN has run: the server has refused and the
// connection is as it was.
func (t *Tx) canRepeat(err error) bool {
	_, ok := pgerr.As(err)
	return ok && !t.conn.IsClosed() && t.conn.PgConn().TxStatus() == 'I'
}

// end reads what remains, and returns the statement's error.
func (f *first) end(tag pgconn.CommandTag) error {
	err := f.results.Close()
	switch {
	case pgerr.IsUnknownStatement(err):
		f.tx.session.forgetAll()
	case err != nil:
		f.tx.session.forget(f.text)
	}
	f.trace(tag, err)
	return err
}
