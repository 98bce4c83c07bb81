package gorillastore

import (
	"errors"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/precedence"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// Get implements sessions.Store. It calls New once for each request and name.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New implements sessions.Store. It reads from memory if that is in sync, and counts as a use. It always returns a
// session: without a valid session a new one, and no error. An error means that this is unknown; the returned session
// cannot be saved then.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	o := *s.cfg.Options
	session.Options = &o
	session.IsNew = true

	found, err := s.find(r, name)
	if found == nil && err == nil {
		return session, nil
	}
	if err == nil {
		session.Values, err = found.got.Data.Values()
	}
	if err != nil {
		err = problem.Hide("gorillastore", err)
		session.Values = map[any]any{loadedKey{}: &loaded{err: err}}
		return session, err
	}
	session.Values[loadedKey{}] = &loaded{
		id: found.id, token: found.token, user: found.got.User, data: found.got.Data, cookie: found.cookie, options: o,
	}
	session.ID, session.IsNew = found.id, false
	return session, nil
}

// found is a valid session of a request, and the cookie that has led to it.
type found struct {
	cookie string // its name
	id     string
	token  string
	got    *sessionstore.Session[Data]
}

// find returns the session of a request, nil if it has none. A browser that shows two has had a response which was late:
// precedence decides. The error is trouble.
func (s *Store) find(r *http.Request, name string) (best *found, trouble error) {
	for _, c := range cookiename.Sent(r, name) {
		id, ok := s.open(name, c.Value)
		if !ok {
			continue
		}
		token := s.Token(id)
		got, err := s.get(r, name, token)
		switch {
		case errors.Is(err, sessionstore.ErrNoSession) || err == nil && got.Data.name != name:
		case err != nil:
			trouble = err
		case best == nil || precedence.Over(got, best.got):
			best = &found{c.Name, id, token, got}
		}
	}

	if best != nil {
		return best, nil
	}
	return nil, trouble
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
