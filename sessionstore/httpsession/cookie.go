package httpsession

import (
	"net/http"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/cookiename"
)

// persistMark follows the token in the cookies of sessions that outlive the browser.
const persistMark = "~p"

// jar knows how the cookies of a Manager are named and written.
type jar struct {
	base     string // of all names
	secure   bool
	sameSite http.SameSite
}

func newJar(c *Config) jar {
	j := jar{base: c.Name, secure: !c.Insecure, sameSite: c.SameSite}
	if j.secure {
		j.base = "__Host-" + j.base
	}
	return j
}

// sentCookie is a session cookie of a request. Its name is the only one that the response may delete or replace it by.
type sentCookie struct {
	name    string
	token   string
	persist bool
}

// sent returns the session cookies of a request. One with the bare name was set before the application used this package.
func (j jar) sent(r *http.Request) (sent []sentCookie) {
	for _, c := range cookiename.Sent(r, j.base) {
		token, persist := strings.CutSuffix(c.Value, persistMark)
		sent = append(sent, sentCookie{c.Name, token, persist})
	}
	return sent
}

func (j jar) nameOf(token string) string { return cookiename.Of(j.base, token) }

// set puts a token into the cookie of its name. A positive lasts is how long it outlives the browser.
func (j jar) set(h http.Header, token string, lasts time.Duration) {
	value, maxAge := token, 0
	if lasts > 0 {
		value, maxAge = token+persistMark, int((lasts+time.Second-1)/time.Second)
	}
	j.write(h, j.nameOf(token), value, maxAge)
}

// remove deletes a cookie that the request has sent.
func (j jar) remove(h http.Header, c sentCookie) { j.write(h, c.name, "", -1) }

func (j jar) write(h http.Header, name, value string, maxAge int) {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: j.secure, HttpOnly: true, SameSite: j.sameSite,
	}
	h.Add("Set-Cookie", c.String())

	// What sets a cookie belongs into no cache. A handler that has said something as strict is left alone.
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "no-store")
	}
}
