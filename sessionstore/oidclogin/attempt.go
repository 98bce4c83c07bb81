package oidclogin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// attemptKind keeps attempts apart from other one-time values.
const attemptKind = "pgcoherence oidc attempt"

// attempt is what has to be known again when the browser comes back, on whatever pod. The name of the one-time value is
// the state.
type attempt struct {
	Issuer   string `json:"iss"`
	ClientID string `json:"client"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	ReturnTo string `json:"return_to"`
	MaxAge   int64  `json:"max_age,omitempty"` // seconds
}

// BeginOptions are options of Begin. Nil uses the defaults.
type BeginOptions struct {
	// ReturnTo is the path that Finish returns for after the login. Paths that lead to another host become "/". Defaults
	// to "/".
	ReturnTo string
	// LoginHint tells the provider which user is about to log in. Defaults to "".
	LoginHint string
	// MaxAge makes the provider ask for credentials if the last time is longer ago, and Finish check that: for a
	// step-up. A nanosecond means always. Zero leaves it to the provider.
	MaxAge time.Duration
	// Extra are additional parameters of the provider, such as "prompt". Defaults to none.
	Extra map[string]string
}

// Begin prepares a login and returns the address to send the browser to. It sets a cookie.
func (c *Client) Begin(w http.ResponseWriter, r *http.Request, o *BeginOptions) (address string, err error) {
	var options BeginOptions
	if o != nil {
		options = *o
	}
	p, err := c.discover(r.Context())
	if err != nil {
		return "", err
	}

	a := attempt{
		Issuer: c.cfg.Issuer, ClientID: c.cfg.ClientID, Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: localPath(options.ReturnTo),
	}
	parameters := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if options.LoginHint != "" {
		parameters = append(parameters, oauth2.SetAuthURLParam("login_hint", options.LoginHint))
	}
	if options.MaxAge > 0 {
		a.MaxAge = max(int64(options.MaxAge/time.Second), 1)
		parameters = append(parameters, oauth2.SetAuthURLParam("max_age", strconv.FormatInt(a.MaxAge, 10)))
	}
	for name, value := range options.Extra {
		parameters = append(parameters, oauth2.SetAuthURLParam(name, value))
	}

	data, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.cfg.Timeout)
	defer cancel()
	binding := c.bindingOf(r)
	if binding == "" {
		binding = rand.Text()
	}
	state, err := c.store.PutOneTime(ctx, attemptKind, data, &sessionstore.OneTimeOptions{TTL: c.cfg.AttemptTTL, Binding: binding})
	if err != nil {
		return "", err
	}
	c.setBinding(w, binding)
	return p.oauth2.AuthCodeURL(state, parameters...), nil
}

// Start is a handler that begins a login and redirects to the provider. The query parameter return_to is the path to
// come back to. Use it for POST, so that other sites cannot begin logins.
//
// Browsers apply the form-action of a page's Content-Security-Policy to redirects after its forms, too. Where one is set,
// list the provider's hosts in it, or call Begin and lead the browser there by a page with a Refresh header.
func (c *Client) Start(w http.ResponseWriter, r *http.Request) {
	address, err := c.Begin(w, r, &BeginOptions{ReturnTo: r.FormValue("return_to")})
	if err != nil {
		c.cfg.Logger.WarnContext(r.Context(), "login not begun", slog.Any("error", err))
		status, message := Describe(err)
		http.Error(w, message, status)
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// localPath is a path of this host, and "/" for whatever might lead elsewhere.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// cookie ties attempts to their browser. It is Lax and not Strict, because the browser comes back by a link.
func (c *Client) cookie(value string) *http.Cookie {
	name := c.cfg.CookieName
	if !c.cfg.Insecure {
		name = "__Host-" + name
	}
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(c.cfg.AttemptTTL / time.Second),
		Secure: !c.cfg.Insecure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func (c *Client) setBinding(w http.ResponseWriter, value string) {
	http.SetCookie(w, c.cookie(value))
	w.Header().Set("Cache-Control", "no-store")
}

func (c *Client) bindingOf(r *http.Request) string {
	cookie, err := r.Cookie(c.cookie("").Name)
	if err != nil || len(cookie.Value) > 100 {
		return ""
	}
	return cookie.Value
}
