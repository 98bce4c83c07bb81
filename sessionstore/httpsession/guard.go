package httpsession

import (
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Require allows requests of users who are logged in. Others get 401, through Config.Error.
func (m *Manager[T]) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := m.Get(r)
		if err == nil && got.User == "" {
			err = sessionstore.ErrNoSession
		}
		if err != nil {
			m.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RequireRecent allows requests of users who logged in within the given time, for example before a change of the
// password. Others get 403 with ErrStepUp, or 401 without a session. It reads the database.
func (m *Manager[T]) RequireRecent(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := m.GetFresh(r)
		switch {
		case err == nil && got.User == "":
			err = sessionstore.ErrNoSession
		case err == nil && !got.AuthenticatedWithin(within):
			err = ErrStepUp
		}

		if err != nil {
			m.Error(w, r, err)
			return
		}

		next.ServeHTTP(w, r)
	})
}
