package watch

import (
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

var (
	// ErrInvalid is returned when a table cannot be watched as requested. The text names the table, the column or the
	// field.
	ErrInvalid = errors.New("watch: invalid watch")
	// ErrConfig is returned when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("watch: invalid configuration")
	// ErrSchema is returned when the database has no schema of the bus, or one that is too old. Call bus.Migrate. It
	// is bus.ErrSchema.
	ErrSchema = errors.New("bus: schema is missing or too old")
	// ErrPrivilege is returned when the database role lacks a privilege; the text says which. It is bus.ErrPrivilege.
	ErrPrivilege = errors.New("bus: role lacks privileges")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// explain adds what an error of the server means here, unless it is one of ours.
func explain(err error) error {
	for _, ours := range []error{ErrInvalid, ErrSchema, ErrPrivilege} {
		if errors.Is(err, ours) {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case pgerr.IsDenied(err):
		return fmt.Errorf("watch: %w: %w", ErrPrivilege, err)
	}
	return fmt.Errorf("watch: %w", err)
}
