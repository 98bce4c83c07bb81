package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

const (
	// requestTimeout bounds a request's work in the database.
	requestTimeout = 5 * time.Second
	// confirmTimeout is for what every pod has to confirm: a pod that is cut off is waited for until its lease is over.
	confirmTimeout = 2*bus.DefaultStaleAfter + time.Second
	// maxBody is more than any form here needs.
	maxBody = 16 << 10
	// podHeader names the pod that has served a response.
	podHeader = "X-Pod"
)

func (p *pod) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.getHome)
	mux.Handle("GET /web/", http.FileServerFS(webFiles))
	mux.HandleFunc("GET /ready", p.getReady)
	mux.HandleFunc("POST /login", p.postLogin)
	mux.HandleFunc("POST /login/provider", p.postProvider)
	mux.HandleFunc("GET "+callbackPath, p.getCallback)

	// What only members may do.
	member := func(pattern string, do func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, p.sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := do(w, r); err != nil {
				p.fail(w, r, err)
			}
		})))
	}
	member("GET /me", p.getMe)
	member("GET /events", p.getEvents)
	member("GET /devices", p.getDevices)
	member("POST /devices/{id}/end", p.postEnd)
	member("POST /logout", p.postLogout)
	member("GET /logout/everywhere", p.getLogoutEverywhere)
	member("POST /logout/everywhere", p.postLogoutEverywhere)

	sessions := p.sessions.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(podHeader, p.name)
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:; "+
			"base-uri 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		sessions.ServeHTTP(w, r)
	})
}

// getHome shows the login to strangers, and the account to members.
func (p *pod) getHome(w http.ResponseWriter, r *http.Request) {
	s, err := p.sessions.Get(r)
	if errors.Is(err, sessionstore.ErrNoSession) {
		p.show(w, r, "login", page{Title: "Log in", Notice: goodbyes[r.URL.Query().Get("bye")]})
		return
	}
	view := page{Title: "Your account", Session: s}
	if err == nil {
		view.Devices, err = p.devices(r.Context(), s)
	}
	if err == nil && s.Data.Notice != "" {
		// Shown once. It was written by another pod a moment ago, and is here already.
		view.Notice = s.Data.Notice
		_, err = p.sessions.Update(w, r, func(v *visitor) error {
			v.Notice = ""
			return nil
		})
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, "account", view)
}

// goodbyes are what the login page says to those who have just left.
var goodbyes = map[string]string{
	"out": "You are logged out, on every pod.", "everywhere": "You are logged out everywhere, on every pod.",
}

// me is what a browser is told of its own session.
type me struct {
	Pod      string    `json:"pod"`
	User     string    `json:"user"`
	FullName string    `json:"full_name"`
	ID       uuid.UUID `json:"id"`
	Method   string    `json:"method"`
}

func (p *pod) getMe(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	return writeJSON(w, me{p.name, s.User, s.Data.FullName, s.ID, s.Device.Method})
}

// getReady reports whether this pod is in sync, and its streams would notice the end of their sessions.
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
	login, m, err := p.checkPassword(ctx, r.PostFormValue("name"), r.PostFormValue("password"))
	if err == nil {
		err = p.begin(w, r, login, m, sessionstore.CreateOptions{}, "password")
	}
	p.welcome(w, r, err)
}

// begin makes a session of somebody whose credentials are checked.
func (p *pod) begin(w http.ResponseWriter, r *http.Request, login sessionstore.Login, m member, o sessionstore.CreateOptions, method string) error {
	o.Device = deviceOf(r, method)
	_, err := p.sessions.Login(w, r, login, visitor{FullName: m.fullName}, &httpsession.LoginOptions{CreateOptions: o})
	return err
}

// welcome ends a login.
func (p *pod) welcome(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// statuses are those of the application's own errors, whose texts may be shown.
var statuses = map[error]int{
	errCredentials: http.StatusForbidden, errAttempt: http.StatusBadRequest, errNoDevice: http.StatusNotFound,
	errUnconfirmed: http.StatusServiceUnavailable,
}

// fail shows an error. What the database or the provider have said is shown to nobody.
func (p *pod) fail(w http.ResponseWriter, r *http.Request, err error) {
	for own, status := range statuses {
		if errors.Is(err, own) {
			p.showProblem(w, r, httpsession.Problem{Status: status, Message: own.Error(), Err: err})
			return
		}
	}
	p.sessions.Error(w, r, err)
}

func writeJSON(w http.ResponseWriter, body any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(body)
}
