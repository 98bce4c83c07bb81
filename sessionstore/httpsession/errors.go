package httpsession

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

var (
	// ErrConfig is returned by New when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("httpsession: invalid configuration")
	// ErrNoHandler is returned when a request did not pass through Manager.Handler.
	ErrNoHandler = errors.New("httpsession: request did not pass through the middleware")
	// ErrStepUp is returned when the login is too old for the request. Ask for the credentials again and call
	// Manager.Reauthenticate.
	ErrStepUp = errors.New("httpsession: recent login required")
	// ErrCrossOrigin is returned for a request that another site made the browser send.
	ErrCrossOrigin = errors.New("httpsession: cross-origin request refused")
)

// Problem is what a response may say about an error.
type Problem struct {
	// Status is 401 without a session, 403 for what the session may not do, 503 for what is unknown at the moment,
	// and 500 for errors from outside of this library.
	Status int
	// Message is a sentence without secrets and without details of the database.
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

// Error responds with the status of an error, through Config.Error. It logs statuses of 500 and above.
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
