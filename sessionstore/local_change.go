package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Save implements Sessions.
func (s *LocalStore[T]) Save(ctx context.Context, token string, got *Session[T]) error {
	p, encoded, err := s.form.prepareSave(token, got)
	if err != nil {
		return err
	}
	receipt, err := s.replace(ctx, &p, got.ID, got.Version, encoded)
	if err == nil {
		got.Version++
		got.receipt = receipt
	}
	return err
}

// Update implements Sessions.
func (s *LocalStore[T]) Update(ctx context.Context, token string, fn func(data *T) error) (*Session[T], error) {
	p, err := s.form.present(token)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		r, err := s.visit(ctx, &p, true)
		if err != nil {
			return nil, err
		}
		data, err := s.form.decode(r, &p.secret)
		if err != nil {
			return nil, err
		}
		if err := fn(&data); err != nil {
			return nil, err
		}
		encoded, err := s.form.encode(data)
		if err != nil {
			return nil, err
		}

		got := s.form.result(r, data, 0)
		if s.form.holds(r, &p.secret, encoded) {
			return got, nil
		}
		if got.receipt, err = s.replace(ctx, &p, r.info.ID, r.version, encoded); err == nil {
			got.Version++
			return got, nil
		}
		if !errors.Is(err, ErrConflict) || try >= s.form.cfg.MaxRetries {
			return nil, err
		}
	}
}

// replace writes data over a version.
func (s *LocalStore[T]) replace(ctx context.Context, p *present, id uuid.UUID, version int64, encoded []byte) (bus.Receipt, error) {
	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, r, err := s.check(p, now)
		switch {
		case err != nil:
			return err
		case r.info.ID != id:
			return fmt.Errorf("%w: token is of another session", ErrInvalid)
		case r.version != version:
			return ErrConflict
		}
		write, err := s.form.envelopeFor(p, r, version, encoded)
		if err != nil {
			return err
		}

		next := rec.copy()
		next.Data, next.Version = write.envelope, version+1
		if write.wrapped != nil {
			next.Wrapped = write.wrapped
		}
		s.putRecord(w, next)
		return nil
	})
}

// SetPolicy implements Sessions.
func (s *LocalStore[T]) SetPolicy(ctx context.Context, token string, policy Policy) (bus.Receipt, error) {
	policy = policy.or(s.form.cfg.Policy)
	if err := policy.check(); err != nil {
		return bus.Receipt{}, fmt.Errorf("%w: Policy: %w", ErrInvalid, err)
	}

	p, err := s.form.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}

	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, _, err := s.check(&p, now)
		if err != nil {
			return err
		}
		next := rec.copy()
		since := next.Info.CreatedAt
		if !next.Info.AuthenticatedAt.IsZero() {
			since = next.Info.AuthenticatedAt
		}
		next.Info.Idle, next.Info.ExpiresAt = max(policy.Idle, 0), since.Add(policy.Absolute)
		if next.Before != nil && next.Before.Grace > 0 {
			next.Before.Until = next.Info.ExpiresAt
		}
		s.change(w, next)
		return nil
	})
}

// RenameDevice implements Sessions.
func (s *LocalStore[T]) RenameDevice(ctx context.Context, user string, id uuid.UUID, label string) (bus.Receipt, error) {
	if err := checkOwner(user); err != nil {
		return bus.Receipt{}, err
	}
	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, ok := s.sessions[id]
		if !ok || rec.Info.User != user || !s.valid(rec, now) {
			return ErrNotFound
		}
		next := rec.copy()
		next.Info.Device.Label = Device{Label: label}.clean().Label
		s.change(w, next)
		return nil
	})
}

func (s *LocalStore[T]) change(w *localWrite, next *record) {
	s.putRecord(w, next)
	w.ending = true
	w.events = append(w.events, Event{Kind: EventChanged, ID: next.Info.ID, User: next.Info.User})
}
