package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

const (
	callbackPath = "/login/callback"
	// attemptKind is what one-time values of logins through the provider are called.
	attemptKind = "oauth"
)

// errAttempt is all that somebody hears whose login through the provider did not come from here, or not from this browser.
var errAttempt = errors.New("this login has been used, is too old, or began in another browser: begin it anew")

// attempt is what a login through the provider has to know again when the browser comes back, on whatever pod. It waits in
// the database as a one-time value whose name is the state: only its hash is there, and the rest encrypted by it.
type attempt struct {
	Nonce    string `json:"nonce"`    // comes back in the ID token: it was made for this attempt
	Verifier string `json:"verifier"` // PKCE: the code is worth nothing to who does not know it
}

// postProvider begins a login through the provider.
func (p *pod) postProvider(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	a := attempt{Nonce: rand.Text(), Verifier: rand.Text() + rand.Text()} // RFC 7636 wants 43 characters
	text, err := json.Marshal(a)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	state, err := p.store.PutOneTime(ctx, attemptKind, text, &sessionstore.OneTimeOptions{Binding: p.binding(w, r)})
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, p.sso.authorizeURL(state, a.Nonce, a.Verifier), http.StatusSeeOther)
}

// getCallback ends it, most likely on another pod.
func (p *pod) getCallback(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	p.welcome(w, r, p.callback(ctx, w, r))
}

func (p *pod) callback(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	text, err := p.store.TakeOneTime(ctx, attemptKind, q.Get("state"), p.bindingOf(r))
	switch {
	case errors.Is(err, sessionstore.ErrNoSession), errors.Is(err, sessionstore.ErrBinding):
		return errAttempt
	case err != nil:
		return err
	}
	var a attempt
	if err := json.Unmarshal(text, &a); err != nil {
		return errAttempt
	}
	if q.Get("iss") != p.sso.cfg.Issuer { // RFC 9207: the code is this provider's
		return errAttempt
	}
	if q.Get("error") != "" {
		return errCredentials
	}
	c, err := p.sso.exchange(ctx, q.Get("code"), a.Nonce, a.Verifier)
	switch {
	case errors.Is(err, errRefused), errors.Is(err, errToken):
		return errAttempt
	case err != nil:
		return err
	}
	login, m, err := p.checkIdentity(ctx, c.Issuer, c.Subject)
	if err != nil {
		return err
	}
	return p.begin(w, r, login, m, sessionstore.CreateOptions{Issuer: c.Issuer, SID: c.SID}, "provider")
}

// bindingCookie ties a login through the provider to the browser that began it.
func (p *pod) bindingCookie(value string) *http.Cookie {
	name := "__Host-login"
	if p.plain {
		name = "login"
	}
	// Lax and not Strict: the browser comes back from the provider by a link, and has to bring it.
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(sessionstore.DefaultOneTimeTTL / time.Second),
		Secure: !p.plain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// binding is the secret of this browser's logins through the provider; several may be under way, in several tabs.
func (p *pod) binding(w http.ResponseWriter, r *http.Request) string {
	value := p.bindingOf(r)
	if value == "" {
		value = rand.Text()
	}
	http.SetCookie(w, p.bindingCookie(value))
	return value
}

func (p *pod) bindingOf(r *http.Request) string {
	cookie, err := r.Cookie(p.bindingCookie("").Name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
