package httpsession

import (
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"strings"
	"time"
)

const (
	tagBytes = 5
	tagLen   = 8 // base32 of tagBytes
	// maxCookies is how many session cookies of one request are looked at. A browser has one, or two for a moment.
	maxCookies = 4
	// persistMark follows the token in the cookies of sessions that outlive the browser.
	persistMark = "~p"
)

var tagEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

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

// sent returns the session cookies of a request, and how many more it has than are looked at.
func (j jar) sent(r *http.Request) (sent []sentCookie) {
	for _, c := range r.Cookies() {
		if len(sent) == maxCookies {
			break
		}
		// A cookie with the bare name is one that the application has set before it used this package.
		tag, tagged := strings.CutPrefix(c.Name, j.base+"-")
		if c.Name != j.base && (!tagged || len(tag) != tagLen) || c.Value == "" {
			continue
		}
		token, persist := strings.CutSuffix(c.Value, persistMark)
		sent = append(sent, sentCookie{c.Name, token, persist})
	}
	return sent
}

// nameOf is derived from the token, so that two tokens never share a cookie. It reveals nothing of it.
func (j jar) nameOf(token string) string {
	sum := sha256.Sum256([]byte("pgcoherence cookie " + token))
	return j.base + "-" + tagEncoding.EncodeToString(sum[:tagBytes])
}

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
