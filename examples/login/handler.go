package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

const (
	// requestTimeout bounds a request's work in the database.
	requestTimeout = 5 * time.Second
	// confirmTimeout is for what every pod has to confirm: a pod that is cut off is waited for until its lease is over.
	confirmTimeout = 2*bus.DefaultStaleAfter + time.Second
	// maxBody is more than any form here needs.
	maxBody = 16 << 10
	// podHeader says which pod has answered.
	podHeader = "X-Pod"
)

func (p *pod) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.getPage)
	mux.HandleFunc("GET /live.js", getScript)
	mux.HandleFunc("GET /me", p.getMe)
	mux.HandleFunc("GET /ready", p.getReady)
	mux.HandleFunc("POST /login", p.postLogin)
	mux.HandleFunc("POST /login/provider", p.postProvider)
	mux.HandleFunc("GET "+callbackPath, p.getCallback)
	mux.HandleFunc("GET /events", p.getEvents)
	mux.HandleFunc("GET /devices", p.getDevices)
	mux.HandleFunc("POST /devices/{id}/end", p.postEnd)
	mux.HandleFunc("POST /logout", p.postLogout)
	mux.HandleFunc("POST /logout/everywhere", p.postLogoutEverywhere)
	// Forms of other sites are refused by what browsers say of where a request comes from; SameSite=Lax is the second line.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(podHeader, p.name)
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "+
			"base-uri 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		guarded.ServeHTTP(w, r)
	})
}

// session is the one of a request. A cookie that stands for none any more is cleared.
func (p *pod) session(w http.ResponseWriter, r *http.Request) (*sessionstore.Session[visitor], error) {
	token := p.cookies.get(r, sessionCookie)
	if token == "" {
		return nil, sessionstore.ErrNoSession
	}
	s, err := p.store.Get(r.Context(), token)
	if errors.Is(err, sessionstore.ErrNoSession) {
		p.cookies.clear(w, sessionCookie)
	}
	return s, err
}

// signedIn wraps what only members may do.
func (p *pod) signedIn(w http.ResponseWriter, r *http.Request, do func(*sessionstore.Session[visitor]) error) {
	s, err := p.session(w, r)
	if err == nil {
		err = do(s)
	}
	if err != nil {
		writeError(w, err)
	}
}

// me is what a browser is told of its own session.
type me struct {
	Pod      string    `json:"pod"`
	User     string    `json:"user"`
	FullName string    `json:"full_name"`
	ID       uuid.UUID `json:"id"`
	Method   string    `json:"method"`
}

func (p *pod) getMe(w http.ResponseWriter, r *http.Request) {
	p.signedIn(w, r, func(s *sessionstore.Session[visitor]) error {
		return writeJSON(w, me{p.name, s.User, s.Data.FullName, s.ID, s.Device.Method})
	})
}

// getReady says whether this pod is in sync, and its streams would hear of the end of their sessions.
func (p *pod) getReady(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-p.store.Ready():
	default:
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	if !p.bus.Fresh() {
		http.Error(w, "not in sync", http.StatusServiceUnavailable)
		return
	}
	_ = writeJSON(w, "ready")
}

// postLogin logs in with a password.
func (p *pod) postLogin(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	password := r.PostFormValue("password")
	if len(password) > maxPassword {
		writeError(w, errCredentials)
		return
	}
	login, m, err := p.checkPassword(ctx, r.PostFormValue("name"), password)
	if err == nil {
		err = p.begin(ctx, w, r, login, m, sessionstore.CreateOptions{}, "password")
	}
	p.welcome(w, r, err)
}

// begin makes a session of somebody whose credentials are checked. The one that the browser had, if any, is over: its token
// may be one that somebody has planted there.
func (p *pod) begin(
	ctx context.Context, w http.ResponseWriter, r *http.Request, login sessionstore.Login, m member, o sessionstore.CreateOptions, method string,
) error {
	if old := p.cookies.get(r, sessionCookie); old != "" {
		if _, err := p.store.Revoke(ctx, old); err != nil && !errors.Is(err, sessionstore.ErrNoSession) {
			return err
		}
	}
	ip, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",") // the front sets it, and nobody else reaches a pod
	o.Device = &sessionstore.Device{UserAgent: r.UserAgent(), IP: ip, Method: method}
	token, _, err := p.store.Create(ctx, login, visitor{m.fullName}, &o)
	if err != nil {
		return err
	}
	p.cookies.set(w, sessionCookie, token, 0)
	return nil
}

// welcome answers a login.
func (p *pod) welcome(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		writeError(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// writeError tells apart who is not logged in, who may not log in, and that nobody can tell. What the database or the
// provider say is for nobody's eyes.
func writeError(w http.ResponseWriter, err error) {
	status, text := http.StatusServiceUnavailable, "try again later"
	switch {
	case errors.Is(err, errCredentials):
		status, text = http.StatusForbidden, errCredentials.Error()
	case errors.Is(err, errAttempt):
		status, text = http.StatusBadRequest, errAttempt.Error()
	case errors.Is(err, errNoDevice):
		status, text = http.StatusNotFound, errNoDevice.Error()
	case errors.Is(err, errUnconfirmed):
		text = errUnconfirmed.Error()
	case errors.Is(err, sessionstore.ErrLoginEnded):
		status, text = http.StatusForbidden, "all sessions were ended meanwhile: log in once more"
	case errors.Is(err, sessionstore.ErrNoSession):
		status, text = http.StatusUnauthorized, "not logged in"
	}
	http.Error(w, text, status)
}

func writeJSON(w http.ResponseWriter, body any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(body)
}
