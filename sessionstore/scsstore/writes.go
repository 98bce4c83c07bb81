package scsstore

import (
	"context"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// stampsOf are what the browser says that it has seen written.
func stampsOf(ctx context.Context) stamp.Stamps {
	if x := exchangeOf(ctx); x != nil {
		return x.stamps
	}
	return nil
}

// wrote gives the browser the version that was written.
func (s *Store) wrote(ctx context.Context, got *sessionstore.Session[Data]) {
	x := exchangeOf(ctx)
	if x == nil {
		return
	}
	like := s.manager.Cookie
	cookie := http.Cookie{
		Name: stamp.Name(like.Name, got.Version), Value: stamp.Text(got.Version, got.ID), MaxAge: int(stamp.Age / time.Second),
		Path: like.Path, Domain: like.Domain, Secure: like.Secure, HttpOnly: true, SameSite: like.SameSite, Partitioned: like.Partitioned,
	}
	x.header.Add("Set-Cookie", cookie.String())
}

// noteRefused notes whether a commit was, because the session is over.
func noteRefused(ctx context.Context, refused bool) {
	if x := exchangeOf(ctx); x != nil {
		x.refused.Store(refused)
	}
}
