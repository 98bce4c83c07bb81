package scsstore

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/precedence"
	"github.com/pgcoherence/pgcoherence/sessionstore/internal/stamp"
)

// Handler returns a middleware to wrap around the manager's:
//
//	handler := store.Handler(sessions.LoadAndSave(mux))
//
// With it, the browser's next request reads what a request has stored, on every pod: a cookie with a lifetime of ten
// seconds carries the version, and a pod with an older one in memory reads the database.
//
// Also, a late response changes nothing: in the browser the cookie's name is the manager's, plus eight characters
// that depend on the token, so a response can only replace or delete the cookie that its own request has sent. If a
// browser sends two valid sessions, the one with the later login is used and the other is ended. For the manager, and
// for everything inside, the cookie has the manager's name. A cookie with that name in the browser, from before, is
// read.
func (s *Store) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := s.manager.Cookie.Name
		x := &exchange{store: s, base: base, stamps: stamp.Of(r, base), header: w.Header(), sent: cookiename.Sent(r, base)}
		ctx := context.WithValue(r.Context(), exchangeKey{}, x)
		x.choose(ctx)

		r = r.WithContext(ctx)
		if x.chosen != nil && x.chosen.Name != base {
			r.Header = maps.Clone(r.Header)
			r.Header["Cookie"] = x.cookieHeader(r.Header["Cookie"])
		}
		out := &response{ResponseWriter: w, x: x}
		next.ServeHTTP(out, r)
		out.rename() // if nothing was written the header is still to be sent
	})
}

// exchange is a request and its response, as far as cookies go.
type exchange struct {
	store  *Store
	base   string // the name of the cookie to the manager
	stamps stamp.Stamps
	header http.Header
	sent   []*http.Cookie // that may hold a token
	chosen *http.Cookie   // of sent; nil: there is none

	refused atomic.Bool // the last commit: the session is over, so its cookie is of no use
}

type exchangeKey struct{}

// exchangeOf returns that of Handler; nil without it.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// choose decides which of the cookies counts. More than one means that a response was late: the sessions of the others are
// ended, and their cookies deleted.
func (x *exchange) choose(ctx context.Context) {
	if len(x.sent) == 0 {
		return
	}
	x.chosen = x.sent[0]
	if len(x.sent) == 1 {
		return
	}

	valid := map[*http.Cookie]*sessionstore.Session[Data]{}
	var best *sessionstore.Session[Data]
	for _, c := range x.sent {
		got, err := x.store.sessions.Get(ctx, hashed(c.Value))
		switch {
		case err == nil:
			valid[c] = got
			if best == nil || precedence.Over(got, best) {
				x.chosen, best = c, got
			}
		case errors.Is(err, sessionstore.ErrNoSession):
			x.remove(c.Name)
		default:
			// Trouble: another pod may know.
			if best == nil {
				x.chosen = c
			}
		}
	}
	for c, got := range valid {
		if c == x.chosen {
			continue
		}
		if got.ID != best.ID {
			if _, err := x.store.sessions.Revoke(ctx, hashed(c.Value)); err != nil && !errors.Is(err, sessionstore.ErrNoSession) {
				continue
			}
		}
		x.remove(c.Name)
	}
}

// cookieHeader is that of the request, with the chosen cookie under the name that the manager looks for, and without the
// others.
func (x *exchange) cookieHeader(lines []string) []string {
	var kept []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			name, _, _ := strings.Cut(part, "=")
			if part != "" && !cookiename.Is(x.base, name) {
				kept = append(kept, part)
			}
		}
	}
	return []string{strings.Join(append(kept, x.base+"="+x.chosen.Value), "; ")}
}

// remove deletes a cookie that the browser has sent.
func (x *exchange) remove(name string) {
	like := x.store.manager.Cookie
	c := http.Cookie{
		Name: name, MaxAge: -1, Path: like.Path, Domain: like.Domain, Secure: like.Secure, HttpOnly: like.HttpOnly,
		SameSite: like.SameSite, Partitioned: like.Partitioned,
	}
	x.header.Add("Set-Cookie", c.String())
}

// rename gives the cookie that the manager has written the name of its token. It may be called again.
func (x *exchange) rename() {
	lines := x.header["Set-Cookie"]
	var written []string
	kept := lines[:0:0]
	for _, line := range lines {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == x.base {
			written = append(written, line)
		} else {
			kept = append(kept, line)
		}
	}

	if len(written) == 0 {
		return
	}
	x.header["Set-Cookie"] = kept
	for _, line := range written {
		x.renameLine(line)
	}

	if len(x.header["Set-Cookie"]) == 0 {
		x.header.Del("Set-Cookie")
	}
}

func (x *exchange) renameLine(line string) {
	c, err := http.ParseSetCookie(line)
	add := func(name string) { x.header.Add("Set-Cookie", name+strings.TrimPrefix(line, x.base)) }
	switch {
	case err != nil:
	case c.MaxAge < 0 || c.Value == "":
		// A logout: of what the request has sent. What the browser has got since is not this response's.
		for _, sent := range x.sent {
			if sent.Name == x.base {
				add(x.base)
			} else {
				x.remove(sent.Name)
			}
		}
	case x.refused.Load():
	case x.chosen != nil && x.chosen.Value == c.Value:
		add(x.chosen.Name)
	default:
		if x.chosen != nil && x.chosen.Name != x.nameOf(c.Value) {
			x.remove(x.chosen.Name)
		}
		add(x.nameOf(c.Value))
	}
}

// nameOf returns the name of the cookie for a session that begins, or has a new token.
func (x *exchange) nameOf(token string) string {
	if x.store.cfg.FixedCookieName {
		return x.base
	}
	return cookiename.Of(x.base, token)
}

// response renames the cookie before the header is sent.
type response struct {
	http.ResponseWriter
	x    *exchange
	sent bool
}

func (w *response) rename() {
	if !w.sent {
		w.x.rename()
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(code int) {
	w.rename()
	w.sent = w.sent || code >= http.StatusOK || code == http.StatusSwitchingProtocols
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	w.rename()
	w.sent = true
	return w.ResponseWriter.Write(b)
}

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	w.rename()
	w.sent = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController: deadlines, hijacking.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
