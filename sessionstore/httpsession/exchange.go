package httpsession

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/precedence"
)

// exchange is one request and its response, as far as sessions go.
type exchange[T any] struct {
	m       *Manager[T]
	header  http.Header // of the response
	request *http.Request

	mu      sync.Mutex
	read    bool // the fields below are set
	sent    []sentCookie
	current sentCookie // of the session
	reading string     // the token to read with: after a renewal the old one, as the client may never get the new one
	session *sessionstore.Session[T]
	err     error // why there is no session
}

// load finds out which session the request belongs to. The caller has the lock.
func (x *exchange[T]) load(ctx context.Context) {
	if x.read {
		return
	}
	x.read = true
	x.header.Add("Vary", "Cookie")
	x.sent = x.m.jar.sent(x.request)

	valid, err := x.validSessions(ctx)
	if len(valid) == 0 {
		x.err = err
		return
	}

	best := valid[0]
	for _, v := range valid[1:] {
		if precedence.Over(v.session, best.session) {
			best = v
		}
	}
	x.session, x.current, x.reading, x.err = best.session, best.cookie, best.cookie.token, nil
	for _, v := range valid {
		if v.cookie != best.cookie {
			x.drop(ctx, v)
		}
	}
	x.rotate(ctx)
}

// found is a valid session of a request, and the cookie that has led to it.
type found[T any] struct {
	cookie  sentCookie
	session *sessionstore.Session[T]
}

// validSessions looks up every cookie. The error says why there is no session, if there is none: trouble before
// ErrNoSession. A cookie is deleted when its session is over, and kept when this pod does not know.
func (x *exchange[T]) validSessions(ctx context.Context) (valid []found[T], err error) {
	err = sessionstore.ErrNoSession
	for _, c := range x.sent {
		got, failed := x.get(ctx, c.token)
		switch {
		case failed == nil:
			valid = append(valid, found[T]{c, got})
		case isTrouble(failed):
			err = failed // and the cookie stays: another pod may know
		case errors.Is(failed, sessionstore.ErrMalformed):
			// It may be a token of another version or configuration of the program.
		default:
			if !isTrouble(err) {
				err = failed
			}
			x.m.jar.remove(x.header, c)
		}
	}

	return valid, err
}

// isTrouble reports whether an error says nothing about whether there is a session.
func isTrouble(err error) bool {
	return !errors.Is(err, sessionstore.ErrNoSession)
}

// drop gives up a session that another one of the same browser has replaced. Two tokens of one session are no reason to
// end it.
func (x *exchange[T]) drop(ctx context.Context, v found[T]) {
	if v.session.ID != x.session.ID {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.m.cfg.WriteTimeout)
		defer cancel()
		if _, err := x.m.store.Revoke(ctx, v.cookie.token); err != nil && isTrouble(err) {
			return // its cookie stays, and a later request tries again
		}
	}
	x.m.jar.remove(x.header, v.cookie)
}

func (x *exchange[T]) passive() bool {
	return x.request.Method == http.MethodHead || x.m.cfg.Passive != nil && x.m.cfg.Passive(x.request)
}

// mayRotate reports whether the response can bring a new cookie: not that of an upgrade, whose header is often written
// past the ResponseWriter.
func (x *exchange[T]) mayRotate() bool {
	switch x.request.Method {
	case http.MethodHead, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return false
	}
	return x.m.cfg.RotateEvery > 0 && !strings.Contains(strings.ToLower(x.request.Header.Get("Connection")), "upgrade")
}

// rotate replaces a token that is old enough. When it fails the session goes on with the token it has, and a later
// request tries again.
func (x *exchange[T]) rotate(ctx context.Context) {
	if !x.mayRotate() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.m.cfg.WriteTimeout)
	defer cancel()

	fresh, got, err := x.m.store.Rotate(ctx, x.current.token, sessionstore.Periodic(x.m.cfg.RotateEvery))
	if err != nil {
		if isTrouble(err) && !errors.Is(err, sessionstore.ErrConflict) {
			x.m.cfg.Logger.WarnContext(ctx, "token not renewed", slog.Any("error", err))
		}
		return
	}
	if fresh != x.current.token {
		old := x.reading
		x.replaceCookie(fresh, got)
		x.reading = old
	}
}

// replaceCookie puts a new token in the place of the one that the request has sent.
func (x *exchange[T]) replaceCookie(token string, got *sessionstore.Session[T]) {
	old := x.current
	x.setCookie(token, got, old.persist)
	x.m.jar.remove(x.header, old)
}

// setCookie makes a session that of the exchange.
func (x *exchange[T]) setCookie(token string, got *sessionstore.Session[T], persist bool) {
	x.session, x.reading, x.err = got, token, nil
	x.current = sentCookie{x.m.jar.nameOf(token), token, persist}
	if persist {
		x.m.jar.set(x.header, token, got.UntilDeadline())
		return
	}
	x.m.jar.set(x.header, token, 0)
}
