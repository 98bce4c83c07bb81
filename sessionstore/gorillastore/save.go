package gorillastore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

// Save implements sessions.Store. It merges the changes with those that other requests have saved since the session
// was loaded, value by value; for a value that both have changed, the last writer wins. It continues when the
// request's context is cancelled, until Config.SaveTimeout. A save to a session that has ended is dropped and
// counted, without an error. For data over Sessions.MaxData it returns sessionstore.ErrTooLarge and changes nothing.
func (s *Store) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session == nil || session.Name() == "" {
		return ErrForeign
	}
	if session.Options == nil {
		o := *s.cfg.Options
		session.Options = &o
	}
	l := loadedOf(session)
	if l != nil && l.err != nil {
		return l.err
	}
	if l != nil && session.ID != "" {
		session.ID = l.id // a client does not choose its token
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.cfg.SaveTimeout)
	defer cancel()
	if session.Options.MaxAge < 0 {
		return s.end(ctx, w, r, session, l)
	}
	v, err := s.prepare(session, l)
	if err != nil {
		return err
	}
	if l == nil && session.ID == "" && session.IsNew && holdsNothing(session.Values) {
		return nil // an anonymous session that holds nothing is stored when there is something to store
	}

	got, err := s.write(ctx, r, session, v)
	switch {
	case errors.Is(err, sessionstore.ErrNoSession), errors.Is(err, sessionstore.ErrLoginEnded):
		// The cookie stays: the one that the browser has by now may be another one, of a later login.
		s.stats.refused.Add(1)
		return nil
	case errors.Is(err, sessionstore.ErrConflict):
		// Another request has just replaced the token: its response has the cookie.
		s.stats.overtaken.Add(1)
		return nil
	case err != nil:
		return problem.Hide("gorillastore", err)
	}
	s.stats.saved.Add(1)

	if session.Values == nil {
		session.Values = map[any]any{}
	}
	now := &loaded{id: session.ID, token: s.Token(session.ID), user: got.User, data: v.data, options: *session.Options}
	session.Values[loadedKey{}] = now
	if !v.unchanged && now.token == v.token {
		sendStamp(w, session, got) // under a new token no pod has it in memory
	}
	if l != nil && l.cookie != "" && now.token == v.token {
		now.cookie = l.cookie
	} else {
		now.cookie = s.nameOf(session)
	}
	if len(cookiename.Sent(r, session.Name())) > 1 || l == nil || l.cookie != now.cookie {
		s.tidy(ctx, w, r, session, now.cookie)
	}
	if l != nil && l.cookie == now.cookie && l.token == v.token && now.token == v.token && l.options == now.options {
		return nil // the browser has it
	}
	return s.send(w, session, now.cookie, got.UntilDeadline())
}

// save is one Save.
type save struct {
	before    *loaded // nil: the session is not known to be there
	token     string  // of before; what it was loaded with
	issuer    string  // of the identity provider's session that a login came from
	sid       string
	data      Data
	user      string
	login     *sessionstore.Login // of BeginLogin, if it is this user's
	unchanged bool
}

func (s *Store) prepare(session *sessions.Session, l *loaded) (v save, err error) {
	v.before = l
	if l != nil {
		v.token = l.token
	}

	switch {
	case s.cfg.WithUser != nil:
		v.user = s.cfg.WithUser(session.Values)
	case l != nil:
		v.user = l.user
	}

	if text, ok := session.Values[loginKey].(string); ok {
		var login sessionstore.Login
		if login.UnmarshalText([]byte(text)) == nil && login.User() == v.user {
			v.login = &login
		}
	}

	if provider, ok := session.Values[providerKey].(string); ok && v.user != "" {
		v.issuer, v.sid, _ = strings.Cut(provider, " ")
	}
	if v.data, err = encode(session.Name(), session.Values, v.login == nil); err != nil {
		return v, err
	}

	if n, most := v.data.size(), cmp.Or(s.cfg.Sessions.MaxData, sessionstore.DefaultMaxData); n > most {
		// Here already: at a login the old token is dead before the values are written.
		return v, fmt.Errorf("%w: %d bytes, at most %d", sessionstore.ErrTooLarge, n, most)
	}

	v.unchanged = l != nil && v.login == nil && same(l.data, v.data, session.Values)
	return v, nil
}

// write stores the session, and sets its ID where that changes.
func (s *Store) write(ctx context.Context, r *http.Request, session *sessions.Session, v save) (*sessionstore.Session[Data], error) {
	if session.ID == "" && v.before == nil {
		if !session.IsNew {
			if err := s.endOld(ctx, r, session.Name()); err != nil {
				return nil, err
			}
		}
		return s.create(ctx, r, session, v)
	}

	token := s.Token(session.ID)
	if v.before != nil {
		token = v.before.token
	}

	logsIn := v.user != "" && (v.before == nil || v.user != v.before.user || v.login != nil)
	if v.before == nil && logsIn {
		// The values were replaced as a whole; whose session it was is not known here.
		now, err := s.sessions.Look(ctx, token)
		if err != nil {
			return nil, err
		}
		logsIn = now.User != v.user || v.login != nil
	}

	if session.ID != "" && !logsIn {
		return s.update(ctx, token, v)
	}
	// The token first: should the rest fail, the user has an old session under a new token, and not a new login under one
	// that others may know.
	o := &sessionstore.RotateOptions{}
	if logsIn {
		login, err := s.login(ctx, v)
		if err != nil {
			return nil, err
		}
		o.Login, o.Policy, o.Issuer, o.SID, o.Unauthenticated = login, policy(session.Options), v.issuer, v.sid, v.login == nil
	}

	fresh, _, err := s.sessions.Rotate(ctx, token, o)
	if err != nil {
		return nil, err
	}

	s.stats.renewed.Add(1)
	session.ID = fresh
	delete(session.Values, loginKey)
	delete(session.Values, providerKey)
	if v.before != nil {
		v.before.id, v.before.token, v.before.user = fresh, fresh, v.user
	}

	return s.update(ctx, fresh, v)
}

// endOld ends the session of the request's cookie, of which both ID and values were replaced: as if it had been renewed,
// no request may go on with its token.
func (s *Store) endOld(ctx context.Context, r *http.Request, name string) error {
	for _, cookie := range cookiename.Sent(r, name) {
		id, ok := s.open(name, cookie.Value)
		if !ok {
			continue
		}
		if _, err := s.sessions.Revoke(ctx, s.Token(id)); err != nil && !errors.Is(err, sessionstore.ErrNoSession) {
			return err
		}
	}
	return nil
}

func (s *Store) create(ctx context.Context, r *http.Request, session *sessions.Session, v save) (*sessionstore.Session[Data], error) {
	o := &sessionstore.CreateOptions{Policy: policy(session.Options)}
	if s.cfg.Device != nil {
		o.Device = s.cfg.Device(r)
	}

	var token string
	var got *sessionstore.Session[Data]
	var err error
	if v.user == "" {
		token, got, err = s.sessions.CreateAnonymous(ctx, v.data, o)
	} else {
		var login sessionstore.Login
		if login, err = s.login(ctx, v); err != nil {
			return nil, err
		}
		o.Issuer, o.SID, o.Unauthenticated = v.issuer, v.sid, v.login == nil
		token, got, err = s.sessions.Create(ctx, login, v.data, o)
	}
	if err != nil {
		return nil, err
	}
	session.ID = token
	if v.login != nil {
		delete(session.Values, loginKey)
		delete(session.Values, providerKey)
	}

	return got, nil
}

// update writes a session that is there. What others have written since it was loaded is kept, unless both have changed
// the same value, and one whose user was taken out of the values is anonymous.
func (s *Store) update(ctx context.Context, token string, v save) (*sessionstore.Session[Data], error) {
	if v.unchanged {
		return s.sessions.Get(ctx, token) // a use
	}
	o := &commitOptions{MustExist: true, Logout: s.cfg.WithUser != nil && v.user == ""}
	if v.before != nil {
		o.Merge = func(now Data) (Data, error) { return combine(v.before.data, v.data, now) }
	}
	for {
		got, err := s.door().Commit(ctx, token, v.data, o)
		if !errors.Is(err, sessionstore.ErrConflict) || ctx.Err() != nil {
			return got, err // many write at once: all of it is kept, whatever it takes
		}
	}
}

func (s *Store) login(ctx context.Context, v save) (sessionstore.Login, error) {
	if v.login != nil {
		return *v.login, nil
	}
	return s.sessions.BeginLogin(ctx, v.user)
}

// end is Save with a negative MaxAge. Saved again with another one it is a new session. Every session of this name that the
// browser has shown is ended, and no other cookie deleted than those: what it has got since is not this response's.
func (s *Store) end(ctx context.Context, w http.ResponseWriter, r *http.Request, session *sessions.Session, l *loaded) error {
	cookies := map[string]string{} // tokens by name
	for _, c := range cookiename.Sent(r, session.Name()) {
		id, _ := s.open(session.Name(), c.Value)
		cookies[c.Name] = s.Token(id)
	}
	switch {
	case l != nil && l.cookie != "":
		cookies[l.cookie] = l.token
	case session.ID != "":
		cookies[s.nameOf(session)] = s.Token(session.ID)
	}

	for _, token := range cookies {
		if token == "" {
			continue
		}
		if _, err := s.sessions.Revoke(ctx, token); err != nil && !errors.Is(err, sessionstore.ErrNoSession) {
			return problem.Hide("gorillastore", err)
		}
		s.stats.ended.Add(1)
	}
	delete(session.Values, loadedKey{})
	session.ID = ""
	for name := range cookies {
		forget(w, session, name)
	}
	return nil
}
