// Package pgerr names what an error of Postgres means for this project, so that no other package spells a SQLSTATE. The
// codes are those of appendix A of Postgres' manual. Every function takes any error and looks through what wraps it.
package pgerr

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Code returns the SQLSTATE of an error of the server, and "" for every other error.
func Code(err error) string {
	if pgErr, ok := As(err); ok {
		return pgErr.Code
	}
	return ""
}

// As returns the error of the server within err. The result is false if the server sent none.
func As(err error) (*pgconn.PgError, bool) {
	if err == nil { // looking for it would allocate, and this is called for every commit
		return nil, false
	}
	var pgErr *pgconn.PgError
	ok := errors.As(err, &pgErr)
	return pgErr, ok
}

// IsMissingObject reports whether a table, schema, column or function does not exist: the schema was not migrated, or is
// older than the code.
func IsMissingObject(err error) bool { return is(err, "42P01", "3F000", "42703", "42883") }

// IsMissingTable reports whether a table or its schema does not exist.
func IsMissingTable(err error) bool { return is(err, "42P01", "3F000") }

// IsDenied reports whether the role lacks a privilege, or row level security would hide rows from it.
func IsDenied(err error) bool { return is(err, "42501") }

// IsRefusedLogin reports whether the server refuses the password, the role or the database of a connection.
func IsRefusedLogin(err error) bool { return is(err, "28P01", "28000", "3D000") }

// IsPermanent reports whether an attempt to connect, or the first statements after it, fail for a reason that only a
// person can repair: a refused login or a missing privilege.
func IsPermanent(err error) bool { return IsRefusedLogin(err) || IsDenied(err) }

// IsReadOnly reports whether the transaction does not take writes: a standby, or a server that is set to read only.
func IsReadOnly(err error) bool { return is(err, "25006") }

// IsConflict reports whether a transaction failed for others that ran at the same time, and did nothing: a
// serialization failure or a deadlock.
func IsConflict(err error) bool { return is(err, "40001", "40P01") }

// IsRolledBack reports whether the server rolled a transaction back on its own account: a conflict, or anything else of
// class 40, such as an unknown outcome.
func IsRolledBack(err error) bool { return class(err) == "40" }

// IsLocked reports whether a lock was not available at once (NOWAIT) or within lock_timeout.
func IsLocked(err error) bool { return is(err, "55P03") }

// IsInUse reports whether an object, such as a database that is to be cloned, is used by another connection.
func IsInUse(err error) bool { return is(err, "55006") }

// IsUnknownStatement reports whether a prepared statement does not exist, as after DISCARD ALL or behind a pooler.
func IsUnknownStatement(err error) bool { return is(err, "26000") }

// IsCanceled reports whether the server has ended the statement, because of a time-out or on request.
func IsCanceled(err error) bool { return is(err, "57014") }

// IsQueueFull reports whether NOTIFY failed because the server's notification queue is full.
func IsQueueFull(err error) bool { return is(err, "54000") }

// IsCheckViolation reports whether a CHECK constraint refused a row.
func IsCheckViolation(err error) bool { return is(err, "23514") }

// IsNullViolation reports whether a NOT NULL constraint refused a row.
func IsNullViolation(err error) bool { return is(err, "23502") }

// IsInternal reports whether the server calls the error its own. GRANT and DDL fail so ("tuple concurrently updated")
// where another transaction changes the same row of the catalog.
func IsInternal(err error) bool { return is(err, "XX000") }

// IsUnavailable reports whether the server is at fault and not the statement: a lost connection, lack of resources,
// an operator's intervention, an I/O or an internal error. The same statement can succeed later.
func IsUnavailable(err error) bool {
	return slices.Contains([]string{"08", "53", "57", "58", "XX"}, class(err))
}

// class returns the first two characters of the SQLSTATE.
func class(err error) string {
	code := Code(err)
	return code[:min(2, len(code))]
}

func is(err error, codes ...string) bool { return slices.Contains(codes, Code(err)) }
