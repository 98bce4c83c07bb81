// Package oidctest gives tests an OpenID Connect provider: discovery, keys, the code flow with PKCE, and signed tokens.
// It has the standard library only, so that what is tested does not check its own work.
package oidctest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Application is what is registered at the provider.
type Application struct{ ClientID, ClientSecret, RedirectURL string }

// Provider is an OpenID Connect provider with one application. Its methods are safe for concurrent use.
type Provider struct {
	t           testing.TB
	application Application
	server      *httptest.Server
	key         *rsa.PrivateKey

	mu     sync.Mutex
	grants map[string]grant
	change func(claims map[string]any)
	down   bool
}

// grant is what a code stands for.
type grant struct {
	subject, sid, nonce, challenge string
	authenticated                  time.Time
}

// New starts a provider that ends with the test.
func New(t testing.TB, application Application) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p := &Provider{t: t, application: application, key: key, grants: map[string]grant{}}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)

	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()

		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}

		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

// Issuer returns the provider's URL.
func (p *Provider) Issuer() string { return p.server.URL }

// HTTPClient returns a client whose idle connections end with the provider.
func (p *Provider) HTTPClient() *http.Client { return p.server.Client() }

// SetDown makes every request fail with 502, or no longer.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// SetChange sets what changes the claims of ID tokens from now on. Nil leaves them right.
func (p *Provider) SetChange(change func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = change
}

func (p *Provider) configuration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer": p.server.URL, "authorization_endpoint": p.server.URL + "/authorize", "token_endpoint": p.server.URL + "/token",
		"jwks_uri": p.server.URL + "/keys", "end_session_endpoint": p.server.URL + "/logout?x=1",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256"}, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}, "authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	public := p.key.PublicKey
	writeJSON(w, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig",
		"n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes()),
	}}})
}

// authorize logs the user in without a question, and sends the browser back with a code. Parameters of a test choose the
// user and the session.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	scopes := strings.Fields(q.Get("scope"))
	if q.Get("client_id") != p.application.ClientID || q.Get("redirect_uri") != p.application.RedirectURL ||
		q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(scopes) == 0 || scopes[0] != "openid" {
		http.Error(w, "not a request of the registered application: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}

	code := rand.Text()
	subject := q.Get("test_subject")
	if subject == "" {
		subject = "ann"
	}
	p.mu.Lock()
	p.grants[code] = grant{subject, q.Get("test_sid"), q.Get("nonce"), q.Get("code_challenge"), time.Now()}
	p.mu.Unlock()

	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.server.URL}}
	http.Redirect(w, r, p.application.RedirectURL+"?"+back.Encode(), http.StatusSeeOther)
}

// Authorize opens the address that a login begins with, as a browser does whose user is subject, and returns the address
// that the provider sends it back to.
func (p *Provider) Authorize(address, subject, sid string) *url.URL {
	p.t.Helper()
	u, err := url.Parse(address)
	require.NoError(p.t, err)
	q := u.Query()
	q.Set("test_subject", subject)
	q.Set("test_sid", sid)
	u.RawQuery = q.Encode()

	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, u.String(), http.NoBody)
	require.NoError(p.t, err)
	client := *p.server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	require.NoError(p.t, err)
	defer response.Body.Close()
	require.Equal(p.t, http.StatusSeeOther, response.StatusCode, "the provider accepts the request")
	back, err := response.Location()
	require.NoError(p.t, err)
	return back
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)

	// A code works once.
	p.mu.Lock()
	g, ok := p.grants[r.PostFormValue("code")]
	delete(p.grants, r.PostFormValue("code"))
	change := p.change
	p.mu.Unlock()

	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || id != p.application.ClientID || secret != p.application.ClientSecret || encode(sum[:]) != g.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}

	claims := p.claims(time.Minute)
	claims["sub"], claims["nonce"], claims["sid"], claims["name"], claims["auth_time"] = g.subject, g.nonce, g.sid, "Ann", g.authenticated.Unix()
	if change != nil {
		change(claims)
	}
	writeJSON(w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "id_token": p.Sign(claims, "JWT")})
}

// claims are those of every token.
func (p *Provider) claims(life time.Duration) map[string]any {
	return map[string]any{
		"iss": p.server.URL, "aud": p.application.ClientID, "iat": time.Now().Unix(), "exp": time.Now().Add(life).Unix(),
	}
}

// Sign returns a token of the type, signed with RS256.
func (p *Provider) Sign(claims map[string]any, typ string) string {
	p.t.Helper()
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": "1", "typ": typ})
	require.NoError(p.t, err)
	body, err := json.Marshal(claims)
	require.NoError(p.t, err)
	text := encode(header) + "." + encode(body)

	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	require.NoError(p.t, err)
	return text + "." + encode(signature)
}

// LogoutToken returns a token for back-channel logout that is right, unless change makes it wrong. An empty subject or sid
// is left out.
func (p *Provider) LogoutToken(subject, sid string, change func(claims map[string]any)) string {
	p.t.Helper()
	claims := p.claims(2 * time.Minute)
	claims["jti"] = rand.Text()
	claims["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	if change != nil {
		change(claims)
	}
	return p.Sign(claims, "logout+jwt")
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
