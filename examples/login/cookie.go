package main

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// cookies are how browsers keep secrets for this program. The prefix __Host- makes browsers refuse them from anywhere but
// this very host, over HTTPS; without HTTPS they have to do without it.
type cookies struct{ plain bool }

const (
	sessionCookie = "session"
	bindingCookie = "login" // binds a login through the provider to the browser that began it
)

func (c cookies) name(of string) string {
	if c.plain {
		return of
	}
	return "__Host-" + of
}

func (c cookies) get(r *http.Request, of string) string {
	cookie, err := r.Cookie(c.name(of))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// set keeps a value until the browser closes, or for maxAge.
func (c cookies) set(w http.ResponseWriter, of, value string, maxAge time.Duration) {
	// Lax and not Strict: the browser comes back from the provider by a link, and has to bring them.
	http.SetCookie(w, &http.Cookie{
		Name: c.name(of), Value: value, Path: "/", MaxAge: int(maxAge / time.Second),
		Secure: !c.plain, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (c cookies) clear(w http.ResponseWriter, of string) { c.set(w, of, "", -time.Second) }

// binding is the secret of this browser's logins through the provider; several may be under way, in several tabs.
func (c cookies) binding(w http.ResponseWriter, r *http.Request) string {
	value := c.get(r, bindingCookie)
	if value == "" {
		value = rand.Text()
	}
	c.set(w, bindingCookie, value, sessionstore.DefaultOneTimeTTL)
	return value
}
