package sessionstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// RenameDevice changes the Device.Label of a user's session, by its public id. ErrNotFound means that the user has no
// such session, or that it has ended.
func (s *Store[T]) RenameDevice(ctx context.Context, user string, id uuid.UUID, label string) (bus.Receipt, error) {
	if err := checkOwner(user); err != nil {
		return bus.Receipt{}, err
	}
	label = Device{Label: label}.clean().Label
	return s.changing(ctx, "rename device", s.sql.setDevice, id.String(), user, label)
}

// SetPolicy changes when a session ends: for "remember me" that is chosen later, or a shorter time for a session that
// has become an administrator's. Zero fields mean Config.Policy. The deadline counts from the login, and for an
// anonymous session from its creation, so a session that has already lasted longer ends at once.
func (s *Store[T]) SetPolicy(ctx context.Context, token string, policy Policy) (bus.Receipt, error) {
	policy = policy.or(s.cfg.Policy)
	if err := policy.check(); err != nil {
		return bus.Receipt{}, fmt.Errorf("%w: Policy: %w", ErrInvalid, err)
	}
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	if err := s.known(ctx, &p); err != nil {
		return bus.Receipt{}, err
	}
	return s.changing(ctx, "set policy", s.sql.setPolicy, p.key[:], p.proof[:], policy.idleMicros(), policy.Absolute.Microseconds())
}

// changing runs a statement that changes one session.
func (s *Store[T]) changing(ctx context.Context, what, sql string, args ...any) (bus.Receipt, error) {
	receipt, err := s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		n, err := s.changeRows(ctx, tx, c, Event{Kind: EventChanged}, sql, args...)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	return receipt, explain(what, err)
}
