package status

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

const (
	cookieName = "pgcoherence_status"
	cookieLife = 12 * time.Hour
	maxForm    = 8 << 10 // bytes of a form
)

// gate decides who gets in.
type gate struct {
	log       *slog.Logger
	token     [sha256.Size]byte // hashed: comparing takes the same time whatever the lengths
	hasToken  bool
	authorize func(*http.Request) error
	now       func() time.Time
}

func newGate(c *Config) *gate {
	g := &gate{log: c.Logger, hasToken: c.Token != "", authorize: c.Authorize, now: time.Now}
	g.token = sha256.Sum256([]byte(c.Token))
	return g
}

// open reports whether any client can get in at all.
func (g *gate) open() bool { return g.hasToken || g.authorize != nil }

// admit returns nil if the request may go on.
func (g *gate) admit(r *http.Request) error {
	if !g.open() {
		return errClosed
	}

	if g.hasToken {
		token, given := bearer(r)
		if given && g.rightToken(token) {
			return nil
		}
		if cookie, err := r.Cookie(cookieName); err == nil && g.rightCookie(cookie.Value) {
			return nil
		}
		if given && g.authorize == nil {
			return errWrongToken
		}
	}

	if g.authorize == nil {
		return errNoToken
	}

	if err := g.authorize(r); err != nil {
		g.log.WarnContext(r.Context(), "status: request refused", slog.Any("error", err))
		return errNotAllowed
	}

	return nil
}

func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

func (g *gate) rightToken(token string) bool {
	return g.hasToken && sameToken(sha256.Sum256([]byte(token)), g.token)
}

// sameToken compares hashes, so it takes the same time whatever the tokens are.
func sameToken(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// cookie is what a browser holds instead of the token: until when it is good, and an authentication code over that by
// the token. Every pod with the same token accepts it, and a new token ends it.
func (g *gate) cookie(until time.Time) string {
	value := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(g.sign(value))
}

func (g *gate) rightCookie(text string) bool {
	value, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(value) != 8+sha256.Size {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
	return hmac.Equal(value, g.sign(value[:8:8])) && g.now().Before(until)
}

func (g *gate) sign(value []byte) []byte {
	mac := hmac.New(sha256.New, g.token[:])
	mac.Write([]byte("pgcoherence status cookie 1\x00"))
	mac.Write(value)
	return mac.Sum(value)
}

// login takes the token from the form and gives the cookie.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)

	if !h.gate.hasToken {
		refuse(w, http.StatusForbidden, errClosed)
		return
	}

	if !h.gate.rightToken(strings.TrimSpace(r.PostFormValue("token"))) {
		h.refusals.WithLabelValues("wrong token").Inc()
		h.cfg.Logger.WarnContext(r.Context(), "status: login with a wrong token", slog.String("remote", r.RemoteAddr))
		h.askToken(w, true)
		return
	}

	until := h.gate.now().Add(cookieLife)

	// Without a path it is the login's own directory, wherever the handler is mounted and whatever a proxy makes of it.
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: h.gate.cookie(until), MaxAge: int(cookieLife / time.Second), HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: encrypted(r),
	})
	redirect(w, "./")
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: encrypted(r),
	})
	redirect(w, "./")
}

// redirect leads to a place relative to the request's own, so that it stays below whatever prefix the client sees.
// http.Redirect would make it absolute.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// encrypted reports whether the client speaks TLS, with us or with a proxy.
func encrypted(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
