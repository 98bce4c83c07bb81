package lock

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// transient reports whether asking again may help: a connection that broke, a server that restarts or is no primary, a
// conflict. All else needs a person.
func transient(err error) bool {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrIncarnation) || errors.Is(err, ErrSchema) || errors.Is(err, ErrPrivilege) {
		return false
	}
	if _, ok := pgerr.As(err); !ok {
		return !strings.Contains(err.Error(), "closed pool") // pgxpool has no name for it
	}
	// Read only: an old primary, or one to come.
	return pgerr.IsUnavailable(err) || pgerr.IsRolledBack(err) || pgerr.IsLocked(err) || pgerr.IsReadOnly(err)
}

// explain names what the SQLSTATE means here.
func explain(err error) error {
	switch {
	case pgerr.IsMissingObject(err):
		return fmt.Errorf("%w: %w", ErrSchema, err)
	case pgerr.IsDenied(err):
		return fmt.Errorf("%w: %w", ErrPrivilege, err)
	}
	return err
}
