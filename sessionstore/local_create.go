package sessionstore

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// BeginLogin implements Sessions.
func (s *LocalStore[T]) BeginLogin(ctx context.Context, user string) (Login, error) {
	if err := checkUser(user); err != nil {
		return Login{}, err
	}
	if err := s.open(ctx); err != nil {
		return Login{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Login{user: user, gen: s.generation(user)}, nil
}

// Create implements Sessions.
func (s *LocalStore[T]) Create(ctx context.Context, login Login, data T, o *CreateOptions) (token string, _ *Session[T], err error) {
	n, err := s.form.newcomer(login, data, o)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, n)
}

// CreateAnonymous implements Sessions.
func (s *LocalStore[T]) CreateAnonymous(ctx context.Context, data T, o *CreateOptions) (token string, _ *Session[T], err error) {
	n, err := s.form.newNewcomer(Login{}, data, o)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, n)
}

func (s *LocalStore[T]) create(ctx context.Context, n *newcomer[T]) (string, *Session[T], error) {
	var rec *record
	_, err := s.write(ctx, func(now time.Time, w *localWrite) error {
		if err := s.admit(w, n.login, n.o.Issuer, n.o.SID, now); err != nil {
			return err
		}
		rec = &record{Gen: n.login.gen, Version: 1, Data: n.envelope, Wrapped: n.wrapped, use: newLastUse(now, "")}
		rec.Key, rec.Proof = n.secret.hash()
		rec.Info = Info{
			ID: n.id, User: n.login.user, CreatedAt: now, RotatedAt: now, LastSeen: now, ExpiresAt: now.Add(n.policy.Absolute),
			Idle: max(n.policy.Idle, 0), Issuer: n.o.Issuer, SID: n.o.SID,
		}
		if n.login.user != "" {
			rec.Info.AuthenticatedAt = authenticatedAt(n.o.Unauthenticated, n.o.AuthenticatedAgo, now)
		}
		if n.o.Device != nil {
			rec.Info.Device = n.o.Device.clean()
		}
		s.putRecord(w, rec)
		w.keys = nil // it was in no memory
		w.events = append(w.events, Event{Kind: EventCreated, ID: n.id, User: n.login.user})
		return nil
	})
	if err != nil {
		return "", nil, err
	}

	s.mu.RLock()
	r := s.row(rec, rec.Key, s.now())
	s.mu.RUnlock()
	return s.form.sealer.format(&n.secret), s.form.result(r, n.data, 0), nil
}

// admit reports whether a login still counts, and makes room for its session where the number is limited.
func (s *LocalStore[T]) admit(w *localWrite, login Login, issuer, sid string, now time.Time) error {
	if login.user == "" {
		return nil
	}
	if login.gen != s.generation(login.user) {
		return ErrLoginEnded
	}
	if _, ended := s.logouts[sidDigest(issuer, sid)]; ended && sid != "" {
		return ErrLoginEnded
	}
	if s.form.cfg.MaxPerUser <= 0 {
		return nil
	}

	all := s.validOf(login.user, now)
	if s.form.cfg.RefuseOverLimit && len(all) >= s.form.cfg.MaxPerUser {
		return ErrLimit
	}
	for len(all) >= s.form.cfg.MaxPerUser {
		s.endRecord(w, all[len(all)-1], now, ReasonLimit)
		all = all[:len(all)-1]
	}
	return nil
}

// validOf returns the valid sessions of a user, the newest first.
func (s *LocalStore[T]) validOf(user string, now time.Time) []*record {
	var all []*record
	for id := range s.byUser[user] {
		if rec := s.sessions[id]; s.valid(rec, now) {
			all = append(all, rec)
		}
	}
	slices.SortFunc(all, func(a, b *record) int {
		return cmp.Or(b.Info.CreatedAt.Compare(a.Info.CreatedAt), slices.Compare(b.Info.ID[:], a.Info.ID[:]))
	})
	return all
}

func authenticatedAt(none bool, ago time.Duration, now time.Time) time.Time {
	if none {
		return time.Time{}
	}
	return now.Add(-ago)
}

// Rotate implements Sessions.
func (s *LocalStore[T]) Rotate(ctx context.Context, token string, o *RotateOptions) (newToken string, _ *Session[T], err error) {
	t, err := s.form.prepareRotate(token, o)
	if err != nil {
		return "", nil, err
	}
	r, err := s.find(ctx, &t.p)
	if err != nil {
		return "", nil, err
	}
	if t.o.IfOlder > 0 && r.current && r.sinceRotated < t.o.IfOlder {
		got, err := s.form.session(r, &t.p.secret, 0)
		return token, got, err
	}

	var done bool
	_, err = s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, r, err := s.check(&t.p, now)
		if err != nil || t.o.Grace > 0 && !r.current {
			return err // it was replaced before; its successor is returned
		}
		done = true
		return s.rotate(w, t, rec, r, now)
	})
	if err != nil {
		return "", nil, err
	}

	next := present{secret: t.fresh}
	if !done {
		if r, err = s.find(ctx, &t.p); err != nil {
			return "", nil, err
		}
		var known bool
		if next, known = r.successor(&t.p); !known {
			got, err := s.form.session(r, &t.p.secret, 0)
			return token, got, err
		}
	}
	next.key, next.proof = next.secret.hash()
	if r, err = s.find(ctx, &next); err != nil {
		return "", nil, err
	}
	got, err := s.form.session(r, &next.secret, 0)
	return s.form.sealer.format(&next.secret), got, err
}

func (s *LocalStore[T]) rotate(w *localWrite, t *rotation, rec *record, r *row[T], now time.Time) error {
	next := rec.copy()
	if r.wrapped != nil {
		k, err := unwrap(r.wrapped, &t.p.secret, rec.Info.ID)
		if err != nil {
			return err
		}
		next.Wrapped = k.wrap(&t.fresh, rec.Info.ID)
	}

	next.Before, next.Salt = nil, t.salt
	if t.o.Grace > 0 {
		next.Before = &replaced{rec.Key, rec.Proof, rec.Wrapped, rec.Info.ExpiresAt, t.o.Grace}
	}
	next.Key, next.Proof = t.fresh.hash()
	next.Info.RotatedAt = now
	next.use = newLastUse(now, *rec.use.address.Load())
	event := Event{Kind: EventRotated, ID: rec.Info.ID, User: rec.Info.User}
	if t.o.Device != nil {
		next.Info.Device = t.o.Device.clean()
	}

	if login := t.o.Login; login.user != "" {
		if login.gen != s.generation(login.user) {
			return ErrLoginEnded
		}
		if login.user != rec.Info.User {
			if err := s.admit(w, login, t.o.Issuer, t.o.SID, now); err != nil {
				return err
			}
		} else if _, ended := s.logouts[sidDigest(t.o.Issuer, t.o.SID)]; ended && t.o.SID != "" {
			return ErrLoginEnded
		}
		next.Gen = login.gen
		next.Info.User, next.Info.Idle, next.Info.ExpiresAt = login.user, max(t.policy.Idle, 0), now.Add(t.policy.Absolute)
		next.Info.AuthenticatedAt = authenticatedAt(t.o.Unauthenticated, t.o.AuthenticatedAgo, now)
		next.Info.Issuer, next.Info.SID = t.o.Issuer, t.o.SID
		event.Kind, event.User = EventLoggedIn, login.user
	}
	s.putRecord(w, next)
	w.events = append(w.events, event)
	return nil
}
