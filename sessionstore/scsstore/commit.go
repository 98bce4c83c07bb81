package scsstore

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

// Commit implements scs.Store.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore. It merges the changes with those that other requests have stored since the
// session was loaded, value by value; for a value that both have changed, the last writer wins. It continues when ctx
// is cancelled, until Config.CommitTimeout. A commit to a session that has ended is dropped and counted, without an
// error. For data over Sessions.MaxData it returns sessionstore.ErrTooLarge and changes nothing.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	if _, iterated := s.handleOf(token); iterated {
		return ErrIterated
	}
	key, err := s.token(token)
	if err != nil {
		return err
	}
	f, ours, err := parseFrame(b)
	if err != nil {
		return err
	}
	if !ours {
		s.past.Do(func() {
			s.log.WarnContext(ctx, "committed past the codec that New has set: no users, and every commit moves the deadline")
		})
		f = frame{deadline: expiry, data: Data{formOpaque, b}}
	}
	remaining := min(time.Until(f.deadline), longest)

	write := s.renew
	switch {
	case f.from == nil:
		write = s.start
	case f.from.token == digestOf(key):
		write = s.rewrite
	}
	got, err := write(ctx, key, &f, remaining)
	for errors.Is(err, sessionstore.ErrConflict) && ctx.Err() == nil {
		got, err = write(ctx, key, &f, remaining) // many write at once: all of it is kept, whatever it takes
	}
	if err == nil && got != nil && f.from != nil && f.from.token == digestOf(key) {
		s.wrote(ctx, got) // under a new token no pod has it in memory
	}
	noteRefused(ctx, isRefusal(err))
	return problem.Hide("scsstore", s.settle(err))
}

// start stores a session that was not loaded: a new one, or, to keep scs' contract, one that is there.
func (s *Store) start(ctx context.Context, key string, f *frame, remaining time.Duration) (*sessionstore.Session[Data], error) {
	if remaining <= 0 {
		return nil, s.over(ctx, key)
	}
	o := s.options(ctx, remaining)
	o.Logout = f.knowsUser && f.user == "" // all values of one that is there were cleared, the user's name included
	if f.user != "" {
		if err := s.logIn(ctx, f, o); err != nil {
			return nil, err
		}
	}
	return s.door().Commit(ctx, key, f.data, o)
}

// rewrite writes a session under the token it was loaded with. It never makes one. What others have written since it was
// loaded is kept, unless both have changed the same value.
func (s *Store) rewrite(ctx context.Context, key string, f *frame, remaining time.Duration) (*sessionstore.Session[Data], error) {
	moved := !f.deadline.Equal(f.from.deadline)
	if moved && remaining <= 0 {
		return nil, s.over(ctx, key)
	}
	if f.unchanged && !moved && !f.logsIn() {
		return nil, s.sessions.Touch(ctx, key)
	}

	o := &commitOptions{MustExist: true, Logout: f.logsOut(), Merge: func(now Data) (Data, error) { return s.forms.merge(f, now) }}
	if moved {
		o.Remaining = remaining
	}
	if f.logsIn() {
		if err := s.logIn(ctx, f, o); err != nil {
			return nil, err
		}
	}
	return s.door().Commit(ctx, key, f.data, o)
}

// renew stores what was loaded with another token, which RenewToken has ended, or MergeSession.
func (s *Store) renew(ctx context.Context, key string, f *frame, remaining time.Duration) (*sessionstore.Session[Data], error) {
	o := s.options(ctx, remaining)
	before, err := s.door().Renewal(ctx, f.from.id)
	ended := errors.Is(err, sessionstore.ErrRevoked)
	if err != nil && !ended {
		return nil, err
	}
	switch {
	case f.logsIn():
		// Credentials were shown: that is a new beginning, whatever has become of the session before.
		if err := s.logIn(ctx, f, o); err != nil {
			return nil, err
		}
	case ended:
		return nil, err
	case f.user == "":
		o.Remaining = min(remaining, before.Remaining)
	case f.user != before.Login.User():
		return nil, sessionstore.ErrRevoked // another request has made it another user's
	default:
		o.Login, o.Remaining = before.Login, min(remaining, before.Remaining)
		o.Issuer, o.SID = before.Issuer, before.SID
	}
	if o.Remaining <= 0 {
		return nil, sessionstore.ErrExpired
	}

	if !ended {
		o.ID = f.from.id
	}
	data := f.data
	if last, ok := s.renewals.lastData(f.from.id); ok {
		if data, err = s.forms.merge(f, last); err != nil {
			return nil, err
		}
	}
	got, err := s.door().Commit(ctx, key, data, o)
	if errors.Is(err, sessionstore.ErrInvalid) && !ended {
		got, err = s.renewBeside(ctx, key, f, data, o)
	}
	s.renewals.takeLogin(f.from.user)
	if err == nil {
		s.stats.renewed.Add(1)
	}
	return got, err
}

// renewBeside stores what another request has renewed at the same time: the browser keeps the token of whichever response
// arrives last, so both have to work. A logout that has come in between ends this one, too.
func (s *Store) renewBeside(ctx context.Context, key string, f *frame, data Data, o *commitOptions) (*sessionstore.Session[Data], error) {
	own := *o
	own.ID = uuid.Nil
	got, err := s.door().Commit(ctx, key, data, &own)
	if err != nil {
		return nil, err
	}
	if _, err := s.door().Renewal(ctx, f.from.id); err != nil {
		_, endErr := s.door().EndForGood(ctx, key)
		return nil, errors.Join(err, endErr)
	}
	return got, nil
}

// logsIn reports whether the session has become that of a user it was not of, or the same has shown credentials again.
func (f *frame) logsIn() bool {
	return f.user != "" && (f.from == nil || f.user != f.from.user || f.login != "")
}

// logsOut reports whether the session has stopped being the user's, who was taken out of the values.
func (f *frame) logsOut() bool {
	return f.knowsUser && f.from != nil && f.from.user != "" && f.user == "" && !f.unchanged
}

// logIn makes the session that of the user of the values.
func (s *Store) logIn(ctx context.Context, f *frame, o *commitOptions) (err error) {
	o.Authenticated, o.Issuer, o.SID = f.login != "", f.issuer, f.sid
	if f.login != "" {
		return o.Login.UnmarshalText([]byte(f.login))
	}
	if login, ok := s.renewals.takeLogin(f.user); ok && f.from == nil {
		o.Login = login // values were cleared after RenewToken: what has ended the user's sessions since counts
		return nil
	}
	o.Login, err = s.sessions.BeginLogin(ctx, f.user)
	return err
}

// What sessionstore takes; scs takes any. The longest takes the place of all that are longer: a hundred years.
const (
	minIdle = 10 * time.Millisecond
	longest = 100 * 365 * 24 * time.Hour
)

func (s *Store) options(ctx context.Context, remaining time.Duration) *commitOptions {
	o := &commitOptions{Remaining: remaining, Policy: sessionstore.Policy{Idle: s.manager.IdleTimeout}}
	switch o.Policy.Idle {
	case 0:
		o.Policy.Idle = sessionstore.NoIdle
	default:
		o.Policy.Idle = min(max(o.Policy.Idle, minIdle), longest)
	}
	if s.cfg.Device != nil {
		o.Device = s.cfg.Device(ctx)
	}
	return o
}

// over ends a session whose deadline was set to the past.
func (s *Store) over(ctx context.Context, key string) error {
	_, err := s.door().End(ctx, key)
	return err
}

// isRefusal reports whether a session is over, so that nothing was stored.
func isRefusal(err error) bool {
	return errors.Is(err, sessionstore.ErrNoSession) || errors.Is(err, sessionstore.ErrLoginEnded)
}

// settle decides what scs hears of.
func (s *Store) settle(err error) error {
	switch {
	case err == nil:
		s.stats.committed.Add(1)
	case isRefusal(err):
		s.stats.refused.Add(1)
	case errors.Is(err, sessionstore.ErrConflict):
		// Others wrote while this was tried several times: as if it had come right before the last of them.
		s.stats.overtaken.Add(1)
	default:
		return err
	}
	return nil
}
