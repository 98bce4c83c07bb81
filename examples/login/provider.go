package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// codeTTL is how long a code can be exchanged.
const codeTTL = time.Minute

// providerConfig is what the parent tells the provider.
type providerConfig struct {
	Cert         *certificate
	ClientID     string
	ClientSecret string
	RedirectURI  string // the only one that it sends anybody to
	People       []person
}

// person has an account at the provider.
type person struct{ Name, FullName string }

// subjectOf is what the provider calls a person: no name, since names change.
func subjectOf(name string) string {
	sum := sha256.Sum256([]byte("subject of " + name))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// provider is an OAuth 2.0 authorization server as small as one can be: the code flow (RFC 6749, section 4.1) with PKCE
// (RFC 7636), one client, and an ID token as of OpenID Connect. It believes whoever presses a button. Its codes are in its
// memory: it is one process.
type provider struct {
	cfg providerConfig
	now func() time.Time

	mu    sync.Mutex
	codes map[string]grant
}

// grant is what a code stands for.
type grant struct {
	subject, fullName, nonce, challenge, sid string
	issued                                   time.Time
}

func newProvider(cfg providerConfig) *provider {
	return &provider{cfg: cfg, now: time.Now, codes: map[string]grant{}}
}

func runProvider(ctx context.Context, cfg providerConfig) error {
	return serve(ctx, newProvider(cfg).routes(), cfg.Cert)
}

func (p *provider) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.getAuthorize)
	mux.HandleFunc("POST /authorize", p.postAuthorize)
	mux.HandleFunc("POST /token", p.postToken)
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		guarded.ServeHTTP(w, r)
	})
}

//go:embed web/provider.html
var providerHTML string

// providerTemplate is parsed once; it is not changed after that.
var providerTemplate = template.Must(template.New("provider").Parse(providerHTML))

// passedOn are the parameters of a request for a code.
var passedOn = []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}

// check says what is wrong with a request for a code. Nobody is sent anywhere with such a one.
func (p *provider) check(q url.Values) string {
	switch {
	case q.Get("client_id") != p.cfg.ClientID:
		return "unknown client"
	case q.Get("redirect_uri") != p.cfg.RedirectURI:
		return "redirect_uri is not the registered one"
	case q.Get("response_type") != "code":
		return "response_type: want code"
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != base64.RawURLEncoding.EncodedLen(sha256.Size):
		return "PKCE with S256 is required"
	case q.Get("state") == "" || q.Get("nonce") == "":
		return "state and nonce are required"
	}
	return ""
}

func (p *provider) getAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if wrong := p.check(q); wrong != "" {
		http.Error(w, wrong, http.StatusBadRequest)
		return
	}
	fields := map[string]string{}
	for _, name := range passedOn {
		fields[name] = q.Get(name)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = providerTemplate.Execute(w, struct { // if the browser is gone there is nobody to tell
		People []person
		Fields map[string]string
	}{p.cfg.People, fields})
}

func (p *provider) postAuthorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form cannot be read", http.StatusBadRequest)
		return
	}
	if wrong := p.check(r.PostForm); wrong != "" {
		http.Error(w, wrong, http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {r.PostForm.Get("state")}, "iss": {p.issuer(r)}}
	if who, ok := p.person(r.PostForm.Get("person")); ok {
		answer.Set("code", p.issue(grant{
			subject: subjectOf(who.Name), fullName: who.FullName, nonce: r.PostForm.Get("nonce"),
			challenge: r.PostForm.Get("code_challenge"), sid: rand.Text(), issued: p.now(),
		}))
	} else {
		answer.Set("error", "access_denied")
	}
	http.Redirect(w, r, p.cfg.RedirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

func (p *provider) person(name string) (person, bool) {
	for _, who := range p.cfg.People {
		if who.Name == name {
			return who, true
		}
	}
	return person{}, false
}

// issue makes a code, and forgets those that are too old.
func (p *provider) issue(g grant) (code string) {
	code = rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, old := range p.codes {
		if p.now().Sub(old.issued) > codeTTL {
			delete(p.codes, other)
		}
	}
	p.codes[code] = g
	return code
}

// take is what a code stands for, once.
func (p *provider) take(code string) (grant, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[code]
	delete(p.codes, code)
	return g, ok && p.now().Sub(g.issued) <= codeTTL
}

// tokenAnswer is the body of an answer of the token endpoint; one of the first and the last is set.
type tokenAnswer struct {
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	IDToken     string `json:"id_token,omitempty"`
	Error       string `json:"error,omitempty"`
}

func (p *provider) postToken(w http.ResponseWriter, r *http.Request) {
	if !p.isClient(r) {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	if r.PostFormValue("grant_type") != "authorization_code" {
		refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	g, ok := p.take(r.PostFormValue("code"))
	if !ok || !same(challengeOf(r.PostFormValue("code_verifier")), g.challenge) || r.PostFormValue("redirect_uri") != p.cfg.RedirectURI {
		refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	now := p.now()
	idToken, err := signToken([]byte(p.cfg.ClientSecret), claims{
		Issuer: p.issuer(r), Subject: g.subject, Audience: p.cfg.ClientID, Nonce: g.nonce, SID: g.sid, Name: g.fullName,
		IssuedAt: now.Unix(), ExpiresAt: now.Add(codeTTL).Unix(),
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error")
		return
	}
	_ = writeJSON(w, tokenAnswer{AccessToken: rand.Text(), TokenType: "Bearer", IDToken: idToken})
}

// isClient says whether a request shows the client's name and secret, both encoded like forms (RFC 6749, section 2.3.1).
func (p *provider) isClient(r *http.Request) bool {
	name, password, _ := r.BasicAuth()
	id, err := url.QueryUnescape(name)
	secret, err2 := url.QueryUnescape(password)
	return err == nil && err2 == nil && same(id, p.cfg.ClientID) && same(secret, p.cfg.ClientSecret)
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = writeJSON(w, tokenAnswer{Error: why}) // if the client is gone there is nobody to tell
}

// issuer is the provider's own address, the only one that it listens on.
func (p *provider) issuer(r *http.Request) string { return p.cfg.Cert.scheme() + "://" + r.Host }

// challengeOf is S256 of RFC 7636.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
