package httpsession

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

var (
	// ErrConfig is returned by New when a Config field has a value that cannot work; the text names it.
	ErrConfig = errors.New("httpsession: invalid configuration")
	// ErrNoHandler is returned when a request did not pass through Manager.Handler.
	ErrNoHandler = errors.New("httpsession: request did not pass through the middleware")
	// ErrStepUp is returned when a login is too old for what is asked. Ask for the credentials again and call
	// Manager.Reauthenticate.
	ErrStepUp = errors.New("httpsession: recent login required")
	// ErrCrossOrigin is returned for a request that another site has made the browser send.
	ErrCrossOrigin = errors.New("httpsession: cross-origin request refused")
)

// Problem is what a client may be told of an error.
type Problem struct {
	// Status is 401 for no session, 403 for what the session may not do, 503 for what nobody can tell now, and 500 for
	// errors that are not of this library.
	Status int
	// Message is a sentence without a secret or a detail of the database.
	Message string
	// Err is the error itself, for logs. It must not be shown.
	Err error
}

// Describe returns the Problem of an error.
func Describe(err error) Problem {
	p := Problem{Err: err}
	switch {
	case errors.Is(err, ErrStepUp):
		p.Status, p.Message = http.StatusForbidden, "confirm your credentials first"
	case errors.Is(err, ErrCrossOrigin):
		p.Status, p.Message = http.StatusForbidden, "cross-origin request refused"
	default:
		p.Status, p.Message = problem.Of(err)
	}
	return p
}

// Error answers a request with the status of an error, through Config.Error. Statuses of 500 and above are logged.
func (m *Manager[T]) Error(w http.ResponseWriter, r *http.Request, err error) {
	p := Describe(err)
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		m.cfg.Logger.WarnContext(r.Context(), "request failed", slog.Int("status", p.Status), slog.Any("error", err))
	}

	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	m.cfg.Error(w, r, p)
}

func writeProblem(w http.ResponseWriter, _ *http.Request, p Problem) {
	http.Error(w, p.Message, p.Status)
}
