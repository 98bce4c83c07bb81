package gorillastore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// nameOf returns the name of the cookie for a session that begins, or has a new token.
func (s *Store) nameOf(session *sessions.Session) string {
	if s.cfg.FixedCookieName {
		return session.Name()
	}
	return cookiename.Of(session.Name(), session.ID)
}

// open is the session ID in a cookie; false: it is none of ours.
func (s *Store) open(name, value string) (id string, ok bool) {
	if s.codecs == nil {
		return value, value != ""
	}
	err := securecookie.DecodeMulti(name, value, &id, s.codecs...)
	return id, err == nil && id != ""
}

func (s *Store) wrap(name, id string) (string, error) {
	if s.codecs == nil {
		return id, nil
	}
	value, err := securecookie.EncodeMulti(name, id, s.codecs...)
	if err != nil {
		return "", fmt.Errorf("gorillastore: cookie: %w", err)
	}
	return value, nil
}

// importedLen is the length of the IDs that other stores of gorilla make: 256 bits in base32.
const importedLen = 52

// Token returns the token in Sessions of a session ID: the ID itself, or a hash of it if the session was imported
// from another store.
func (s *Store) Token(id string) string {
	if len(id) != importedLen || s.codecs == nil {
		return id
	}
	return importedToken(id)
}

func importedToken(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// send sets the cookie, which never outlives the session.
func (s *Store) send(w http.ResponseWriter, session *sessions.Session, cookie string, remaining time.Duration) error {
	value, err := s.wrap(session.Name(), session.ID)
	if err != nil {
		return err
	}
	o := *session.Options
	if o.MaxAge > 0 {
		o.MaxAge = max(min(o.MaxAge, int((remaining+time.Second-1)/time.Second)), 1)
	}
	http.SetCookie(w, sessions.NewCookie(cookie, value, &o))
	return nil
}

// sendStamp gives the browser the version that was written.
func sendStamp(w http.ResponseWriter, session *sessions.Session, got *sessionstore.Session[Data]) {
	o := *session.Options
	o.MaxAge = int(stamp.Age / time.Second)
	http.SetCookie(w, sessions.NewCookie(stamp.Name(session.Name(), got.Version), stamp.Text(got.Version, got.ID), &o))
}

// forget deletes a cookie.
func forget(w http.ResponseWriter, session *sessions.Session, cookie string) {
	o := *session.Options
	o.MaxAge = -1
	http.SetCookie(w, sessions.NewCookie(cookie, "", &o))
}

// tidy deletes the cookies that the request has sent and that another one has replaced (keep), and ends their sessions. One
// that this program cannot read, or whose session is not known at the moment, stays.
func (s *Store) tidy(ctx context.Context, w http.ResponseWriter, r *http.Request, session *sessions.Session, keep string) {
	for _, c := range cookiename.Sent(r, session.Name()) {
		id, ok := s.open(session.Name(), c.Value)
		if c.Name == keep || !ok {
			continue
		}

		token := s.Token(id)
		got, err := s.sessions.Look(ctx, token)
		if err == nil && got.Data.name != session.Name() {
			continue
		}
		if err == nil {
			_, err = s.sessions.Revoke(ctx, token)
		}
		if err == nil || errors.Is(err, sessionstore.ErrNoSession) && !errors.Is(err, sessionstore.ErrMalformed) {
			forget(w, session, c.Name)
		}
	}
}

// longest is a MaxAge in seconds in the place of all that are longer: a hundred years.
const longest = 100 * 365 * 24 * 60 * 60

// policy is that of a session which begins now.
func policy(o *sessions.Options) sessionstore.Policy {
	return sessionstore.Policy{Absolute: time.Duration(min(int64(o.MaxAge), longest)) * time.Second}
}
