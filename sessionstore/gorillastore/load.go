package gorillastore

import (
	"errors"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// Get implements sessions.Store: New, once for each request and name.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New implements sessions.Store. It reads from memory where that is known to be in sync, and counts as a use. It always
// returns a session. An error is trouble, and then the session cannot be saved; what is no session is a new one, without
// an error.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	o := *s.cfg.Options
	session.Options = &o
	session.IsNew = true
	cookie, err := r.Cookie(name)
	if err != nil {
		return session, nil //nolint:nilerr // it says that there is none
	}
	id, ok := s.open(name, cookie.Value)
	if !ok {
		return session, nil
	}
	token := s.Token(id)
	got, err := s.get(r, name, token)
	if errors.Is(err, sessionstore.ErrNoSession) || err == nil && got.Data.name != name {
		return session, nil
	}
	if err == nil {
		session.Values, err = got.Data.Values()
	}
	if err != nil {
		err = problem.Hide("gorillastore", err)
		session.Values = map[any]any{loadedKey{}: &loaded{err: err}}
		return session, err
	}
	session.Values[loadedKey{}] = &loaded{token: token, user: got.User, data: got.Data, cookie: true, options: o}
	session.ID, session.IsNew = id, false
	return session, nil
}

// get reads a session that is not older than what the browser has seen written.
func (s *Store) get(r *http.Request, name, token string) (*sessionstore.Session[Data], error) {
	got, err := s.sessions.Get(r.Context(), token)
	if err != nil {
		return nil, err
	}
	if seen := stamp.Of(r, name).Version(got.ID); seen > got.Version {
		return s.sessions.GetAfter(r.Context(), token, seen)
	}
	return got, nil
}
