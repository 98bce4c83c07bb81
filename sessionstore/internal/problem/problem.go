// Package problem says what a client may learn of an error of the sessionstore: a status and a sentence, and nothing of
// what the database or the driver have said.
package problem

import (
	"context"
	"errors"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Of returns the HTTP status of an error and a sentence for the client.
func Of(err error) (status int, message string) {
	switch {
	case err == nil:
		return http.StatusOK, ""

	// Unreadable data may be that of a newer version of the program. It is no reason to treat the user as a stranger.
	case errors.Is(err, sessionstore.ErrUnreadable), errors.Is(err, sessionstore.ErrUnavailable), errors.Is(err, sessionstore.ErrBusy),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "sessions are temporarily unavailable, try again later"

	case errors.Is(err, sessionstore.ErrBinding):
		return http.StatusForbidden, "this link was made for another browser"
	case errors.Is(err, sessionstore.ErrLoginEnded):
		return http.StatusForbidden, "all sessions were ended during the login, log in again"
	case errors.Is(err, sessionstore.ErrLimit):
		return http.StatusForbidden, "too many active sessions"
	case errors.Is(err, sessionstore.ErrConflict):
		return http.StatusConflict, "the session was changed by another request, try again"
	case errors.Is(err, sessionstore.ErrInvalid):
		return http.StatusBadRequest, "invalid request"
	case errors.Is(err, sessionstore.ErrTooLarge):
		return http.StatusRequestEntityTooLarge, "the session holds too much data"
	case errors.Is(err, sessionstore.ErrNoSession):
		return http.StatusUnauthorized, "not logged in"
	}
	return http.StatusInternalServerError, "internal error"
}

// Public is an error whose text may be shown to a client. Unwrap returns the original for errors.Is and for logs.
type Public struct {
	text string
	err  error
}

// Hide returns an error whose text may be shown, and which unwraps to err. Errors that say nothing of the database are
// returned as they are, as is nil.
func Hide(prefix string, err error) error {
	if err == nil {
		return nil
	}
	var already *Public
	status, message := Of(err)
	if status < http.StatusInternalServerError || errors.As(err, &already) {
		return err
	}
	return &Public{prefix + ": " + message, err}
}

// Error implements error.
func (p *Public) Error() string { return p.text }

// Unwrap returns the original error.
func (p *Public) Unwrap() error { return p.err }
