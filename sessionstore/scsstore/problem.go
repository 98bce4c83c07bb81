package scsstore

import (
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/problem"
)

// ErrorFunc responds to a request whose session could not be read or stored, for scs.SessionManager.ErrorFunc: with
// 503 while the database is unavailable, and 413 for too much data. The response contains no details of the database;
// they are logged.
func (s *Store) ErrorFunc(w http.ResponseWriter, r *http.Request, err error) {
	status, message := problem.Of(err)
	if status >= http.StatusInternalServerError {
		shown := err
		var hidden *problem.Public
		if errors.As(err, &hidden) {
			shown = hidden.Unwrap()
		}
		s.log.WarnContext(r.Context(), "session not read or stored", slog.Any("error", shown))
	}

	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, message, status)
}

// isDefaultErrorFunc reports whether a function is the one that scs.New sets, which is not exported.
func isDefaultErrorFunc(f func(http.ResponseWriter, *http.Request, error)) bool {
	if f == nil {
		return true
	}
	own := runtime.FuncForPC(reflect.ValueOf(f).Pointer())
	return own != nil && own.Name() == scsPackage+".defaultErrorFunc"
}

// scsPackage is how the runtime calls functions of scs.
const scsPackage = "github.com/alexedwards/scs/v2"
