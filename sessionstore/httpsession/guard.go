package httpsession

import (
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Require lets in requests of users who are logged in. Others are answered with 401, by Config.Error.
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

// RequireRecent lets in requests of users who have logged in within a time, such as before a change of the password.
// Others get 403 with ErrStepUp, and 401 without a session. It asks the database.
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
