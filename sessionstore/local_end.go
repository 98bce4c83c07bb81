package sessionstore

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Revoke implements Sessions.
func (s *LocalStore[T]) Revoke(ctx context.Context, token string) (bus.Receipt, error) {
	p, err := s.form.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}

	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, r, err := s.check(&p, now)
		if r == nil {
			return err // what is wrong with a session that there is does not keep it from ending
		}
		if rec.Revoked.IsZero() {
			s.endRecord(w, rec, now, ReasonLogout)
			return nil
		}
		w.changed(rec) // published again, so that the receipt covers it
		return nil
	})
}

// RevokeByID implements Sessions.
func (s *LocalStore[T]) RevokeByID(ctx context.Context, user string, id uuid.UUID) (bus.Receipt, error) {
	if err := checkOwner(user); err != nil {
		return bus.Receipt{}, err
	}
	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, ok := s.sessions[id]
		if !ok || rec.Info.User != user || !rec.Revoked.IsZero() && rec.Reason != ReasonLogout {
			return ErrNotFound
		}
		s.endRecord(w, rec, now, ReasonDevice)
		return nil
	})
}

// RevokeUser implements Sessions.
func (s *LocalStore[T]) RevokeUser(ctx context.Context, user string) (bus.Receipt, error) {
	if err := checkUser(user); err != nil {
		return bus.Receipt{}, err
	}
	return s.write(ctx, func(_ time.Time, w *localWrite) error {
		s.raiseUser(w, user, time.Time{})
		w.keys = append(w.keys, userKey(user))
		w.events = append(w.events, Event{Kind: EventRevoked, User: user, Reason: ReasonUser})
		return nil
	})
}

// RevokeUserExcept implements Sessions.
func (s *LocalStore[T]) RevokeUserExcept(ctx context.Context, token string) (bus.Receipt, error) {
	p, err := s.form.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}

	return s.write(ctx, func(now time.Time, w *localWrite) error {
		rec, r, err := s.check(&p, now)
		switch {
		case err != nil:
			return err
		case r.info.User == "":
			return ErrNotFound
		}
		next := rec.copy()
		next.Gen = s.raiseUser(w, r.info.User, time.Time{})
		s.putRecord(w, next)
		w.keys = append(w.keys, userKey(r.info.User))
		w.events = append(w.events, Event{Kind: EventRevoked, User: r.info.User, Reason: ReasonOthers})
		return nil
	})
}

// RevokeBySID implements Sessions.
func (s *LocalStore[T]) RevokeBySID(ctx context.Context, issuer, sid string) (bus.Receipt, error) {
	if err := checkSID(issuer, sid); err != nil {
		return bus.Receipt{}, err
	}
	if sid == "" {
		return bus.Receipt{}, ErrInvalid
	}

	return s.write(ctx, func(now time.Time, w *localWrite) error {
		d := sidDigest(issuer, sid)
		w.rows = append(w.rows, rowOf(kindLogout, hex.EncodeToString(d[:]), now))
		w.apply = append(w.apply, func() { s.logouts[d] = now })
		for _, rec := range s.sessions {
			if rec.Info.Issuer == issuer && rec.Info.SID == sid && rec.Revoked.IsZero() {
				s.endRecord(w, rec, now, ReasonSID)
			}
		}
		return nil
	})
}

// RevokeAll implements Sessions.
func (s *LocalStore[T]) RevokeAll(ctx context.Context) (bus.Receipt, error) {
	return s.write(ctx, func(now time.Time, w *localWrite) error {
		for user := range s.byUser {
			if user != "" {
				s.raiseUser(w, user, time.Time{})
			}
		}

		for id := range s.byUser[""] {
			if rec := s.sessions[id]; rec.Revoked.IsZero() {
				s.endRecord(w, rec, now, ReasonAll)
			}
		}

		w.keys = append(w.keys, userKey(""))
		w.events = []Event{{Kind: EventRevoked, Reason: ReasonAll}}
		return nil
	})
}

// ForgetUser implements Sessions. It keeps a hash of the user's id for a week, for logins that have begun.
func (s *LocalStore[T]) ForgetUser(ctx context.Context, user string) (bus.Receipt, error) {
	if err := checkUser(user); err != nil {
		return bus.Receipt{}, err
	}
	return s.write(ctx, func(now time.Time, w *localWrite) error {
		s.raiseUser(w, user, now)
		for id := range s.byUser[user] {
			w.rows = append(w.rows, localRow{kind: kindSession, id: id.String()})
			w.apply = append(w.apply, func() { s.remove(id) })
		}
		w.keys = append(w.keys, userKey(user))
		w.events = append(w.events, Event{Kind: EventRevoked, User: user, Reason: ReasonForget})
		return nil
	})
}

// userKey is what all sessions of a user are called on the bus, in no way that shows who it is.
func userKey(user string) string {
	d := userDigest(user)
	return "user " + hex.EncodeToString(d[:16])
}
