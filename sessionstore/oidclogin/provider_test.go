package oidclogin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	clientID     = "three pods"
	clientSecret = "s%cret+"
	redirectURL  = "http://app.example/callback"
)

// provider is an OpenID Connect provider: discovery, keys, the code flow with PKCE, and signed tokens.
type provider struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey
	now    func() time.Time

	mu     sync.Mutex
	grants map[string]grant
	change func(claims map[string]any) // what is wrong with the next ID token
	down   bool
}

// grant is what a code stands for.
type grant struct {
	subject, sid, nonce, challenge string
	authTime                       int64
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p := &provider{t: t, key: key, now: time.Now, grants: map[string]grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /keys", p.keys)
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

func (p *provider) configuration(w http.ResponseWriter, _ *http.Request) {
	p.json(w, map[string]any{
		"issuer": p.server.URL, "authorization_endpoint": p.server.URL + "/authorize", "token_endpoint": p.server.URL + "/token",
		"jwks_uri": p.server.URL + "/keys", "end_session_endpoint": p.server.URL + "/logout?x=1",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256"}, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}, "authorization_response_iss_parameter_supported": true,
	})
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	p.json(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
}

func (p *provider) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// authorize is what a user does at the provider: the address to send the browser back to.
func (p *provider) authorize(address, subject, sid string) *url.URL {
	p.t.Helper()
	u, err := url.Parse(address)
	require.NoError(p.t, err)
	q := u.Query()
	require.Equal(p.t, clientID, q.Get("client_id"))
	require.Equal(p.t, redirectURL, q.Get("redirect_uri"))
	require.Equal(p.t, "code", q.Get("response_type"))
	require.Equal(p.t, "S256", q.Get("code_challenge_method"))
	require.Contains(p.t, q.Get("scope"), "openid")
	code := rand.Text()
	p.mu.Lock()
	p.grants[code] = grant{subject, sid, q.Get("nonce"), q.Get("code_challenge"), p.now().Unix()}
	p.mu.Unlock()
	back, err := url.Parse(redirectURL)
	require.NoError(p.t, err)
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.server.URL}}.Encode()
	return back
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	p.mu.Lock()
	g, ok := p.grants[r.PostFormValue("code")]
	delete(p.grants, r.PostFormValue("code"))
	change := p.change
	p.mu.Unlock()

	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || id != clientID || secret != clientSecret || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}

	claims := map[string]any{
		"iss": p.server.URL, "sub": g.subject, "aud": clientID, "nonce": g.nonce, "sid": g.sid, "name": "Ann", "auth_time": g.authTime,
		"iat": p.now().Unix(), "exp": p.now().Add(time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}

	p.json(w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "id_token": p.sign(claims, "JWT")})
}

// sign makes a real, signed token.
func (p *provider) sign(claims map[string]any, typ jose.ContentType) string {
	p.t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", "1")
	if typ != "" {
		options = options.WithType(typ)
	}

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.key}, options)
	require.NoError(p.t, err)
	body, err := json.Marshal(claims)
	require.NoError(p.t, err)
	signed, err := signer.Sign(body)
	require.NoError(p.t, err)
	text, err := signed.CompactSerialize()
	require.NoError(p.t, err)
	return text
}

// logoutToken is one that is right; change makes it wrong.
func (p *provider) logoutToken(subject, sid string, change func(map[string]any)) string {
	claims := map[string]any{
		"iss": p.server.URL, "aud": clientID, "iat": p.now().Unix(), "exp": p.now().Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	if change != nil {
		change(claims)
	}

	return p.sign(claims, "logout+jwt")
}
