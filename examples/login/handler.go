package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// confirmTimeout is for what every pod has to confirm: a pod that is cut off is waited for until its lease is over.
const confirmTimeout = 2*bus.DefaultStaleAfter + time.Second

var (
	errNoDevice    = errors.New("no such session, or it is over already")
	errNoPage      = errors.New("no such page")
	errUnconfirmed = errors.New("the session is over, but not every pod has confirmed it yet: one may let it in for some more seconds")
)

// statuses are those of the application's own errors, whose texts may be shown.
var statuses = map[error]int{
	errCredentials: http.StatusForbidden, errNoDevice: http.StatusNotFound, errNoPage: http.StatusNotFound,
	errUnconfirmed: http.StatusServiceUnavailable,
}

func (p *pod) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /web/", http.FileServerFS(webFiles))
	handle := func(pattern string, members bool, do func(http.ResponseWriter, *http.Request) error) {
		var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := do(w, r); err != nil {
				p.fail(w, r, err)
			}
		})
		if members {
			h = p.sessions.Require(h)
		}
		mux.Handle(pattern, h)
	}
	handle("/", false, func(http.ResponseWriter, *http.Request) error { return errNoPage })
	handle("GET /{$}", false, p.home)
	handle("POST /login", false, p.login)
	handle("GET /me", true, p.me)
	handle("GET /events", true, p.events)
	handle("POST /devices/{id}/end", true, p.end)
	handle("POST /logout", true, p.logout)
	handle("GET /logout/everywhere", true, p.askEverywhere)
	handle("POST /logout/everywhere", true, p.logoutEverywhere)

	sessions := p.sessions.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(podHeader, p.name)
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		sessions.ServeHTTP(w, r)
	})
}

// fail shows an error. What the database has said is shown to no browser.
func (p *pod) fail(w http.ResponseWriter, r *http.Request, err error) {
	for own, status := range statuses {
		if errors.Is(err, own) {
			p.showProblem(w, r, httpsession.Problem{Status: status, Message: own.Error(), Err: err})
			return
		}
	}
	p.sessions.Error(w, r, err)
}

// login logs in with a password.
func (p *pod) login(w http.ResponseWriter, r *http.Request) error {
	login, fullName, err := p.checkPassword(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"))
	if err != nil {
		return err
	}
	if _, err := p.sessions.Login(w, r, login, visitor{FullName: fullName}, nil); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// me describes the session to a program.
func (p *pod) me(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	devices, err := p.devices(r.Context(), s)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(devices)
}

// end ends a session of the same user by its public id.
func (p *pod) end(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return errNoDevice
	}
	receipt, err := p.store.RevokeByID(r.Context(), s.User, id)
	if errors.Is(err, sessionstore.ErrNotFound) {
		return errNoDevice
	}
	if err := p.confirm(r, receipt, err); err != nil {
		return err
	}

	// The next request shows the notice, on whatever pod it comes to.
	if id != s.ID {
		if _, err := p.sessions.Update(w, r, func(v *visitor) error {
			v.Notice = "The session has ended, on every pod."
			return nil
		}); err != nil {
			return err
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (p *pod) logout(w http.ResponseWriter, r *http.Request) error {
	receipt, err := p.sessions.Logout(w, r)
	return p.leave(w, r, "/?bye=out", receipt, err)
}

func (p *pod) logoutEverywhere(w http.ResponseWriter, r *http.Request) error {
	receipt, err := p.sessions.LogoutEverywhere(w, r)
	return p.leave(w, r, "/?bye=everywhere", receipt, err)
}

// leave redirects when no pod lets the ended sessions in any more.
func (p *pod) leave(w http.ResponseWriter, r *http.Request, to string, receipt bus.Receipt, err error) error {
	if err := p.confirm(r, receipt, err); err != nil {
		return err
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// confirm waits until no pod lets in what was ended, whether or not the browser waits for that.
func (p *pod) confirm(r *http.Request, receipt bus.Receipt, err error) error {
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), confirmTimeout)
	defer cancel()
	if err := p.bus.Confirm(ctx, receipt); err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return nil
}

// events is a stream of server-sent events. It ends the moment its session does, on whatever pod that is ended.
func (p *pod) events(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel, err := p.sessions.Bind(r)
	if err != nil {
		return err
	}
	defer cancel()

	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		fmt.Fprintf(w, "event: time\ndata: pod %s, %s\n\n", p.name, time.Now().Format(time.TimeOnly))
		if http.NewResponseController(w).Flush() != nil {
			return nil // the browser is gone
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			why := map[bool]string{true: "ended", false: "expired"}[errors.Is(context.Cause(ctx), sessionstore.ErrRevoked)]
			fmt.Fprintf(w, "event: over\ndata: %s\n\n", why)
			return nil
		}
	}
}
