package sessionstore

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// open fails after Close and for a context that has ended.
func (s *LocalStore[T]) open(ctx context.Context) error {
	if s.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

// Get implements Sessions.
func (s *LocalStore[T]) Get(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, true)
}

// GetFresh is Get: the memory is always current.
func (s *LocalStore[T]) GetFresh(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, true)
}

// GetAfter is Get: there is no other process whose writes it could miss.
func (s *LocalStore[T]) GetAfter(ctx context.Context, token string, _ int64) (*Session[T], error) {
	return s.get(ctx, token, true)
}

// Look implements Sessions.
func (s *LocalStore[T]) Look(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, false)
}

// Touch implements Sessions.
func (s *LocalStore[T]) Touch(ctx context.Context, token string) error {
	p, err := s.form.present(token)
	if err != nil {
		return err
	}
	_, err = s.visit(ctx, &p, true)
	return err
}

func (s *LocalStore[T]) get(ctx context.Context, token string, counts bool) (*Session[T], error) {
	p, err := s.form.present(token)
	if err != nil {
		return nil, err
	}
	r, err := s.visit(ctx, &p, counts)
	if err != nil {
		return nil, err
	}
	return s.form.session(r, &p.secret, 0)
}

// visit finds a session, notes the use if it counts as one, and the first use of a new token.
func (s *LocalStore[T]) visit(ctx context.Context, p *present, counts bool) (*row[T], error) {
	s.mu.RLock()
	now := s.now()
	rec, r, err := s.check(p, now)
	s.mu.RUnlock()
	if errors.Is(err, ErrRotated) && r.reported.CompareAndSwap(false, true) {
		s.form.emit(ctx, []Event{{Kind: EventReused, ID: r.info.ID, User: r.info.User}}, false)
	}
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}

	if counts {
		rec.use.at.Store(now.UnixNano())
		if address := addressOf(ctx); address != "" {
			rec.use.address.Store(&address)
		}
		rec.use.unsaved.Store(true)
	}
	if r.current && r.unconfirmed {
		s.firstUse(ctx, p)
	}
	return r, nil
}

// firstUse begins the grace of the token before.
func (s *LocalStore[T]) firstUse(ctx context.Context, p *present) {
	_, err := s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, r, err := s.check(p, now)
		if err != nil || !r.current || rec.Before == nil || rec.Before.Grace == 0 {
			return err
		}

		next := rec.copy()
		if until := now.Add(next.Before.Grace); until.Before(next.Before.Until) {
			next.Before.Until = until
		}

		next.Before.Grace = 0
		s.putRecord(w, next)
		return nil
	})
	if err != nil {
		s.form.log.DebugContext(ctx, "first use of a new token not noted", slog.Any("error", err))
	}
}

// find is the valid session of a token.
func (s *LocalStore[T]) find(ctx context.Context, p *present) (*row[T], error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, r, err := s.check(p, s.now())
	return r, err
}

// check finds a session and says what is wrong with it. The caller holds mu or writing.
func (s *LocalStore[T]) check(p *present, now time.Time) (*record, *row[T], error) {
	if err := s.form.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, nil, err
	}
	rec, r, err := s.lookup(p.key, now)
	if err != nil {
		return nil, nil, err
	}
	if !p.proof.equal(r.proof) {
		return nil, nil, ErrNotFound
	}
	err = r.check(0)
	return rec, r, err
}

// List implements Sessions.
func (s *LocalStore[T]) List(ctx context.Context, user string) ([]Info, error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}

	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	all := s.validOf(user, now)
	list := make([]Info, 0, min(len(all), MaxList))
	for _, rec := range all[:min(len(all), MaxList)] {
		list = append(list, s.row(rec, rec.Key, now).info)
	}

	return list, nil
}

// Count implements Sessions.
func (s *LocalStore[T]) Count(ctx context.Context, user string) (int, error) {
	if err := checkUser(user); err != nil {
		return 0, err
	}
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.validOf(user, s.now())), nil
}
