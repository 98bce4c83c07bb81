package scsstore

import (
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Commit implements scs.Store.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore: last writer wins. It goes on when ctx is cancelled, until Config.CommitTimeout. A
// commit to a session that was ended or has expired is dropped, counted, and no error; data over Sessions.MaxData is
// sessionstore.ErrTooLarge, and what was stored before stays.
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
	remaining := time.Until(f.deadline)
	switch {
	case f.from == nil:
		err = s.start(ctx, key, &f, remaining)
	case f.from.token == digestOf(key):
		err = s.rewrite(ctx, key, &f, remaining)
	default:
		err = s.renew(ctx, key, &f, remaining)
	}
	return s.settle(err)
}

// start stores a session that was not loaded: a new one, or, to keep scs' contract, one that is there.
func (s *Store) start(ctx context.Context, key string, f *frame, remaining time.Duration) error {
	if remaining <= 0 {
		return s.over(ctx, key)
	}
	o := s.options(ctx, remaining)
	if f.user != "" {
		var err error
		if o.Login, err = s.login(ctx, f); err != nil {
			return err
		}
		o.Authenticated = f.login != ""
	}
	_, err := s.door().Commit(ctx, key, f.data, o)
	return err
}

// rewrite writes a session under the token it was loaded with. It never makes one.
func (s *Store) rewrite(ctx context.Context, key string, f *frame, remaining time.Duration) error {
	moved := !f.deadline.Equal(f.from.deadline)
	if moved && remaining <= 0 {
		return s.over(ctx, key)
	}
	if !moved && !f.logsIn() {
		if f.unchanged {
			return s.sessions.Touch(ctx, key)
		}
		_, err := s.sessions.Update(ctx, key, func(d *Data) error {
			*d = f.data
			return nil
		})
		return err
	}
	now, err := s.sessions.Look(ctx, key)
	if err != nil {
		return err
	}
	data := f.data
	if f.unchanged {
		data = now.Data // somebody else may have written
	}
	o := &commitOptions{}
	if moved {
		o.Remaining = remaining
	}
	if f.logsIn() {
		if o.Login, err = s.login(ctx, f); err != nil {
			return err
		}
		o.Authenticated = f.login != ""
	}
	_, err = s.door().Commit(ctx, key, data, o)
	return err
}

// renew stores what was loaded with another token, which RenewToken has ended, or MergeSession.
func (s *Store) renew(ctx context.Context, key string, f *frame, remaining time.Duration) error {
	o := s.options(ctx, remaining)
	before, err := s.door().Renewal(ctx, f.from.id)
	ended := errors.Is(err, sessionstore.ErrRevoked)
	if err != nil && !ended {
		return err
	}
	switch {
	case f.logsIn():
		// Somebody has shown credentials: that is a new beginning, with whatever became of the session before.
		if o.Login, err = s.login(ctx, f); err != nil {
			return err
		}
		o.Authenticated = f.login != ""
	case ended:
		return err
	case f.user == "":
		o.Remaining = min(remaining, before.Remaining)
	case f.user != before.Login.User():
		return sessionstore.ErrRevoked // another request has made it somebody else's
	default:
		o.Login, o.Remaining = before.Login, min(remaining, before.Remaining)
	}
	if !ended {
		o.ID = f.from.id
	}
	if o.Remaining <= 0 {
		return sessionstore.ErrExpired
	}
	_, err = s.door().Commit(ctx, key, f.data, o)
	if err == nil {
		s.stats.renewed.Add(1)
	}
	return err
}

// logsIn says whether the session has become that of a user it was not of, or the same has shown credentials again.
func (f *frame) logsIn() bool {
	return f.user != "" && (f.from == nil || f.user != f.from.user || f.login != "")
}

func (s *Store) login(ctx context.Context, f *frame) (sessionstore.Login, error) {
	if f.login != "" {
		var login sessionstore.Login
		err := login.UnmarshalText([]byte(f.login))
		return login, err
	}
	return s.sessions.BeginLogin(ctx, f.user)
}

func (s *Store) options(ctx context.Context, remaining time.Duration) *commitOptions {
	o := &commitOptions{Remaining: remaining, Policy: sessionstore.Policy{Idle: s.manager.IdleTimeout}}
	if o.Policy.Idle == 0 {
		o.Policy.Idle = sessionstore.NoIdle
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

// settle decides what scs hears of.
func (s *Store) settle(err error) error {
	switch {
	case err == nil:
		s.stats.committed.Add(1)
	case errors.Is(err, sessionstore.ErrNoSession), errors.Is(err, sessionstore.ErrLoginEnded):
		s.stats.refused.Add(1)
	case errors.Is(err, sessionstore.ErrConflict):
		// Others wrote while this was tried several times: as if it had come right before the last of them.
		s.stats.overtaken.Add(1)
	default:
		return err
	}
	return nil
}

// Adopt stores a session that was another store's, for importers: under the token that scs has given out, or the hash of
// it if isHash. b is what the manager's codec of that time wrote. A session that is there already, or was ended here,
// stays as it is: false. Its idle timeout begins anew, its deadline is at the given time by this machine's clock.
// sessionstore.ErrUnreadable: the values do not decode; the types in them have to be registered as in the program itself.
func (s *Store) Adopt(ctx context.Context, token string, isHash bool, b []byte) (adopted bool, err error) {
	codec, ok := s.manager.Codec.(managerCodec)
	if !ok {
		return false, ErrConfig
	}
	if !isHash {
		token = hashed(token)
	}
	data, deadline, values, err := codec.forms.adopt(b)
	if err != nil {
		return false, err
	}
	_, err = s.sessions.GetFresh(ctx, token)
	if !errors.Is(err, sessionstore.ErrNotFound) {
		if errors.Is(err, sessionstore.ErrNoSession) {
			err = nil
		}
		return false, err
	}
	remaining := time.Until(deadline)
	if remaining <= 0 {
		return false, nil
	}
	o := s.options(ctx, remaining)
	if codec.user != nil {
		if user := codec.user(values); user != "" {
			if o.Login, err = s.sessions.BeginLogin(ctx, user); err != nil {
				return false, err
			}
		}
	}
	_, err = s.door().Commit(ctx, token, data, o)
	return err == nil, err
}
