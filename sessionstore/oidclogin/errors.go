package oidclogin

import (
	"context"
	"errors"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

var (
	// ErrConfig is returned by New when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("oidclogin: invalid configuration")
	// ErrAttempt is returned by Finish when the attempt is unknown, was finished already, is too old, or was begun in
	// another browser. Begin a new one.
	ErrAttempt = errors.New("oidclogin: no such login attempt in this browser")
	// ErrDenied is returned by Finish when the provider refused the login, for example after a click on "cancel".
	ErrDenied = errors.New("oidclogin: the provider denied the login")
	// ErrToken is returned when the provider's code or token is not accepted.
	ErrToken = errors.New("oidclogin: the provider's token is not valid")
	// ErrReplayed is returned for a logout token that was used before.
	ErrReplayed = errors.New("oidclogin: logout token was used before")
	// ErrProvider is returned when the provider cannot be reached, or sends an unusable response.
	ErrProvider = errors.New("oidclogin: the provider is unavailable")
)

// Describe returns the HTTP status of an error of this package and a sentence that may be shown.
func Describe(err error) (status int, message string) {
	switch {
	case errors.Is(err, ErrAttempt):
		return http.StatusBadRequest, "this login was used, is too old, or began in another browser: begin it again"
	case errors.Is(err, ErrDenied):
		return http.StatusForbidden, "the identity provider did not let you in"
	case errors.Is(err, ErrToken), errors.Is(err, ErrReplayed):
		return http.StatusBadRequest, "the identity provider's response is not valid"
	case errors.Is(err, ErrProvider), errors.Is(err, sessionstore.ErrUnavailable), errors.Is(err, sessionstore.ErrBusy),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "logins are temporarily unavailable, try again later"
	}
	return http.StatusInternalServerError, "internal error"
}
