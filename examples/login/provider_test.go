package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testVerifier = "0123456789012345678901234567890123456789012"

// testProvider is a provider that runs, and a client of it.
func testProvider(t *testing.T) (*provider, *client) {
	t.Helper()
	p := newProvider(providerConfig{ClientID: "us and them", ClientSecret: "s%cret+", RedirectURI: "http://app.example/back", People: people})
	server := httptest.NewServer(p.routes())
	t.Cleanup(server.Close)
	c := newClient(clientConfig{Issuer: server.URL, ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, RedirectURI: p.cfg.RedirectURI})
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.close)
	return p, c
}

// code presses a button.
func code(t *testing.T, c *client, as string) url.Values {
	t.Helper()
	u, err := url.Parse(c.authorizeURL("the state", "the nonce", testVerifier))
	require.NoError(t, err)
	form := u.Query()
	form.Set("person", as)
	status, location := postForm(t, c, "/authorize", form)
	require.Equal(t, http.StatusSeeOther, status)
	back, err := url.Parse(location)
	require.NoError(t, err)
	require.Equal(t, "http://app.example/back", back.Scheme+"://"+back.Host+back.Path)
	require.Equal(t, "the state", back.Query().Get("state"))
	require.Equal(t, c.cfg.Issuer, back.Query().Get("iss"))
	return back.Query()
}

func postForm(t *testing.T, c *client, path string, form url.Values) (status int, location string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.cfg.Issuer+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.http.Do(req)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, response.Header.Get("Location")
}

func TestProvider(t *testing.T) {
	t.Parallel()
	_, c := testProvider(t)
	q := code(t, c, "alice")
	got, err := c.exchange(t.Context(), q.Get("code"), "the nonce", testVerifier)
	require.NoError(t, err)
	require.Equal(t, subjectOf("alice"), got.Subject)
	require.Equal(t, "Alice Liddell", got.Name)
	require.NotEmpty(t, got.SID)

	_, err = c.exchange(t.Context(), q.Get("code"), "the nonce", testVerifier)
	require.ErrorIs(t, err, errRefused, "a code works once")

	for _, nobody := range []string{"", "mallory"} {
		q = code(t, c, nobody)
		require.Equal(t, "access_denied", q.Get("error"))
		require.Empty(t, q.Get("code"))
	}
}

func TestProvider_RefusesTheCode(t *testing.T) {
	t.Parallel()
	p, c := testProvider(t)
	exchange := func(c *client, nonce, verifier string) error {
		_, err := c.exchange(t.Context(), code(t, c, "alice").Get("code"), nonce, verifier)
		return err
	}
	require.NoError(t, exchange(c, "the nonce", testVerifier))
	require.ErrorIs(t, exchange(c, "the nonce", strings.Repeat("x", 43)), errRefused, "another verifier")
	require.ErrorIs(t, exchange(c, "the nonce", ""), errRefused, "no verifier")
	require.ErrorIs(t, exchange(c, "another nonce", testVerifier), errToken)

	thief := *c
	thief.cfg.ClientSecret = "guessed"
	require.ErrorIs(t, exchange(&thief, "the nonce", testVerifier), errRefused)

	old := code(t, c, "alice").Get("code")
	p.mu.Lock()
	g := p.codes[old]
	g.issued = g.issued.Add(-codeTTL - time.Second)
	p.codes[old] = g
	p.mu.Unlock()
	_, err := c.exchange(t.Context(), old, "the nonce", testVerifier)
	require.ErrorIs(t, err, errRefused, "too old")

	forgotten := p.issue(grant{issued: p.now().Add(-codeTTL - time.Second)})
	p.issue(grant{issued: p.now()})
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NotContains(t, p.codes, forgotten, "old codes do not pile up")
}

// TestProvider_SendsNobodyAway: a request that is wrong gets an answer, and leads nowhere.
func TestProvider_SendsNobodyAway(t *testing.T) {
	t.Parallel()
	_, c := testProvider(t)
	for name, change := range map[string]func(url.Values){
		"another client":         func(q url.Values) { q.Set("client_id", "other") },
		"another address":        func(q url.Values) { q.Set("redirect_uri", "http://app.example/back/../else") },
		"another flow":           func(q url.Values) { q.Set("response_type", "token") },
		"no PKCE":                func(q url.Values) { q.Del("code_challenge") },
		"PKCE that shows itself": func(q url.Values) { q.Set("code_challenge_method", "plain") },
		"no state":               func(q url.Values) { q.Del("state") },
		"no nonce":               func(q url.Values) { q.Del("nonce") },
	} {
		u, err := url.Parse(c.authorizeURL("the state", "the nonce", testVerifier))
		require.NoError(t, err)
		q := u.Query()
		change(q)
		q.Set("person", "alice")
		status, location := postForm(t, c, "/authorize", q)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Empty(t, location, name)

		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.cfg.Issuer+"/authorize?"+q.Encode(), http.NoBody)
		require.NoError(t, err)
		response, err := c.http.Do(req)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusBadRequest, response.StatusCode, name)
	}
}

// TestProvider_Away: an error of the token endpoint names neither the code nor the verifier.
func TestProvider_Away(t *testing.T) {
	t.Parallel()
	c := newClient(clientConfig{Issuer: "http://127.0.0.1:1", ClientID: "us", ClientSecret: "the secret"})
	defer c.close()
	_, err := c.exchange(t.Context(), "the code", "the nonce", testVerifier)
	require.Error(t, err)
	for _, secret := range []string{"the code", "the nonce", testVerifier, "the secret"} {
		require.NotContains(t, err.Error(), secret)
	}
}
