package scsstore

import (
	"context"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// writes are what a request and its response know of the browser's writes.
type writes struct {
	stamps stamp.Stamps
	header http.Header // nil: not within ReadYourWrites
}

type writesKey struct{}

func writesOf(ctx context.Context) writes {
	w, _ := ctx.Value(writesKey{}).(writes)
	return w
}

// ReadYourWrites is a middleware for programs that run on several pods: what a request has stored, the next request of
// the browser reads, on whatever pod. It goes around the manager's:
//
//	handler := store.ReadYourWrites(sessions.LoadAndSave(mux))
//
// A cookie beside the session's, which lives for ten seconds, carries the version that was written; a pod whose memory
// holds an older one asks the database. Without it, that request may read what the session held some milliseconds before.
func (s *Store) ReadYourWrites(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := writes{stamps: stamp.Of(r, s.manager.Cookie.Name), header: w.Header()}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), writesKey{}, own)))
	})
}

// wrote tells the browser of what was written.
func (s *Store) wrote(ctx context.Context, got *sessionstore.Session[Data]) {
	h := writesOf(ctx).header
	if h == nil {
		return
	}
	like := s.manager.Cookie
	cookie := http.Cookie{
		Name: stamp.Name(like.Name, got.Version), Value: stamp.Text(got.Version, got.ID), MaxAge: int(stamp.Age / time.Second),
		Path: like.Path, Domain: like.Domain, Secure: like.Secure, HttpOnly: true, SameSite: like.SameSite, Partitioned: like.Partitioned,
	}
	h.Add("Set-Cookie", cookie.String())
}
