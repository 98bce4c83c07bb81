package httpsession

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Manager connects requests with the sessions of a store. All methods are safe for concurrent use, even by several
// goroutines of one request.
type Manager[T any] struct {
	cfg   Config
	store sessionstore.Sessions[T]
	jar   jar
}

// New returns a manager for the sessions of a store, which is a *sessionstore.Store or a *sessionstore.LocalStore. It
// starts nothing and does no I/O. cfg is copied, and may be nil. The error is [ErrConfig] and names the field.
func New[T any](store sessionstore.Sessions[T], cfg *Config) (*Manager[T], error) {
	if store == nil {
		return nil, fmt.Errorf("%w: store is nil", ErrConfig)
	}
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Manager[T]{cfg: c, store: store, jar: newJar(&c)}, nil
}

// contextKey is of the managers, several of which may serve one request.
type contextKey[T any] struct{ m *Manager[T] }

// Handler returns the middleware. Wrap it once around everything that uses the manager. It refuses requests from
// other sites (Config.CrossOrigin).
func (m *Manager[T]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.cfg.NoCrossOrigin {
			if err := m.cfg.CrossOrigin.Check(r); err != nil {
				m.Error(w, r, fmt.Errorf("%w: %w", ErrCrossOrigin, err))
				return
			}
		}

		x := &exchange[T]{m: m, header: w.Header(), request: r}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey[T]{m}, x)))
	})
}

// exchange returns what the middleware has noted of a request.
func (m *Manager[T]) exchange(r *http.Request) (*exchange[T], error) {
	x, ok := r.Context().Value(contextKey[T]{m}).(*exchange[T])
	if !ok {
		return nil, ErrNoHandler
	}
	return x, nil
}

// writeContext bounds a write that goes on when the client has gone away.
func (m *Manager[T]) writeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), m.cfg.WriteTimeout)
}
