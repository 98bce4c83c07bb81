package sessionstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// explain adds what an error of the database means for a session, and takes out what the server quotes from rows.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	for _, ours := range []error{ErrNoSession, ErrConflict, ErrLoginEnded, ErrLimit, ErrInvalid, ErrTooLarge, ErrUnavailable, ErrBusy, ErrUnreadable, ErrSchema, ErrForeignTx} {
		if errors.Is(err, ours) {
			return err
		}
	}

	var pgErr *pgconn.PgError
	var connect *pgconn.ConnectError
	var scan pgx.ScanArgError
	switch {
	case errors.As(err, &connect):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	case errors.As(err, &pgErr):
		bare := &pgconn.PgError{
			Severity: pgErr.Severity, SeverityUnlocalized: pgErr.SeverityUnlocalized, Code: pgErr.Code, Message: pgErr.Message,
			SchemaName: pgErr.SchemaName, TableName: pgErr.TableName, ColumnName: pgErr.ColumnName, ConstraintName: pgErr.ConstraintName,
		}
		kind := kindOf(err)
		if kind == nil {
			return fmt.Errorf("sessionstore: %s: %w", what, bare)
		}
		if errors.Is(err, bus.ErrOutcomeUnknown) {
			return fmt.Errorf("%w: %s: %w: %w", kind, what, bus.ErrOutcomeUnknown, bare)
		}
		return fmt.Errorf("%w: %s: %w", kind, what, bare)
	case errors.Is(err, cache.ErrLoadTimeout):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("sessionstore: %s: %w", what, err)
	case errors.Is(err, pgx.ErrTxClosed), errors.Is(err, pgx.ErrTxCommitRollback), errors.Is(err, bus.ErrInvalidEvent), errors.As(err, &scan):
		return fmt.Errorf("sessionstore: %s: %w", what, err)
	}

	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
}

// kindOf sorts the server's errors (appendix A of Postgres' manual); nil: the caller's or ours to fix.
func kindOf(err error) error {
	switch {
	case pgerr.IsMissingObject(err):
		return ErrSchema
	case pgerr.IsReadOnly(err), pgerr.IsUnavailable(err): // read only: a standby
		return ErrUnavailable
	}
	return nil
}
