package lazytx

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// firstRows are the rows of a first statement. Closing them also ends the pipeline that they came in, and afterwards they
// do not touch the connection again.
type firstRows struct {
	pgx.Rows
	first  *first
	closed bool
	err    error
}

var errClosedRows = errors.New("rows is closed")

// Close implements pgx.Rows.
func (r *firstRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.first.end(r.CommandTag())
	if err := r.Rows.Err(); err != nil {
		r.err = err // it came first
	}
}

// Err implements pgx.Rows.
func (r *firstRows) Err() error { return r.err }

// Next implements pgx.Rows.
func (r *firstRows) Next() bool {
	if !r.closed && r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Scan implements pgx.Rows.
func (r *firstRows) Scan(dest ...any) error {
	if r.closed {
		return errClosedRows
	}
	err := r.Rows.Scan(dest...)
	r.closeOn(err)
	return err
}

// Values implements pgx.Rows.
func (r *firstRows) Values() ([]any, error) {
	if r.closed {
		return nil, errClosedRows
	}
	values, err := r.Rows.Values()
	r.closeOn(err)
	return values, err
}

// closeOn closes the rows where pgx has done so because of an error.
func (r *firstRows) closeOn(err error) {
	if err != nil && r.Rows.Err() != nil {
		r.Close()
	}
}

// FieldDescriptions implements pgx.Rows. Without a single row there is no message that pgx would take them from.
func (r *firstRows) FieldDescriptions() []pgconn.FieldDescription {
	if r.first == nil {
		return nil
	}
	if fields := r.Rows.FieldDescriptions(); len(fields) > 0 || r.first.description == nil {
		return fields
	}
	fields := append([]pgconn.FieldDescription(nil), r.first.description.Fields...)
	for i := range fields {
		if i < len(r.first.formats) {
			fields[i].Format = r.first.formats[i]
		}
	}
	return fields
}

// Conn implements pgx.Rows.
func (r *firstRows) Conn() *pgx.Conn {
	if r.first == nil {
		return nil
	}
	return r.first.tx.conn
}

// firstRow is the single row of QueryRow.
type firstRow struct{ rows *firstRows }

// Scan implements pgx.Row.
func (r firstRow) Scan(dest ...any) error {
	defer r.rows.Close()

	if r.rows.Err() != nil {
		return r.rows.Err()
	}

	for _, d := range dest {
		if _, ok := d.(*pgtype.DriverBytes); ok {
			return errors.New("cannot scan into *pgtype.DriverBytes from QueryRow")
		}
	}

	if !r.rows.Next() {
		if r.rows.Err() == nil {
			return pgx.ErrNoRows
		}
		return r.rows.Err()
	}

	_ = r.rows.Scan(dest...)
	r.rows.Close()
	return r.rows.Err()
}

// failedRows are the rows of a query that was never sent.
type failedRows struct{ err error }

func (failedRows) Close()                                       {}
func (r failedRows) Err() error                                 { return r.err }
func (failedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (failedRows) Next() bool                                   { return false }
func (r failedRows) Scan(...any) error                          { return r.err }
func (r failedRows) Values() ([]any, error)                     { return nil, r.err }
func (failedRows) RawValues() [][]byte                          { return nil }
func (failedRows) Conn() *pgx.Conn                              { return nil }
func (failedRows) TypeMap() *pgtype.Map                         { return pgtype.NewMap() }
