package lock

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// transient says whether asking again may help: a connection that broke, a server that restarts or is no primary, a
// conflict. All else needs a person.
func transient(err error) bool {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrIncarnation) || errors.Is(err, ErrSchema) || errors.Is(err, ErrPrivilege) {
		return false
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return !strings.Contains(err.Error(), "closed pool") // pgxpool has no name for it
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "57", "58", "XX":
		return true
	}
	return pgErr.Code == "55P03" || pgErr.Code == "25006" // lock_timeout; read-only: an old primary, or one to come
}

// explain names what the SQLSTATE means here.
func explain(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	switch pgErr.Code {
	case "42P01", "3F000", "42883", "42703": // no table, schema, function, column
		return fmt.Errorf("%w: %w", ErrSchema, err)
	case "42501":
		return fmt.Errorf("%w: %w", ErrPrivilege, err)
	}
	return err
}
