package gorillastore

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

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

// Token is what Sessions knows a session by whose ID is this: the ID itself, unless that was another store's, whose
// sessions are imported under a hash of it.
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
func (s *Store) send(w http.ResponseWriter, session *sessions.Session, remaining time.Duration) error {
	value, err := s.wrap(session.Name(), session.ID)
	if err != nil {
		return err
	}
	o := *session.Options
	if o.MaxAge > 0 {
		o.MaxAge = max(min(o.MaxAge, int((remaining+time.Second-1)/time.Second)), 1)
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), value, &o))
	return nil
}

// sendStamp tells the browser of a version that was written.
func sendStamp(w http.ResponseWriter, session *sessions.Session, got *sessionstore.Session[Data]) {
	o := *session.Options
	o.MaxAge = int(stamp.Age / time.Second)
	http.SetCookie(w, sessions.NewCookie(stamp.Name(session.Name(), got.Version), stamp.Text(got.Version, got.ID), &o))
}

// forget deletes the cookie, for whoever has ended the session.
func forget(w http.ResponseWriter, session *sessions.Session) {
	o := *session.Options
	o.MaxAge = -1
	http.SetCookie(w, sessions.NewCookie(session.Name(), "", &o))
}

// policy is that of a session which begins now.
func policy(o *sessions.Options) sessionstore.Policy {
	return sessionstore.Policy{Absolute: time.Duration(o.MaxAge) * time.Second}
}
