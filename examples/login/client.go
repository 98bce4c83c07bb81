package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// clientConfig is what this application has been told by the provider, and the other way round.
type clientConfig struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	RedirectURI  string
	TrustedCert  []byte // PEM; nil for plain HTTP
}

// client is the application's side of the code flow: two requests, so no library.
type client struct {
	cfg       clientConfig
	http      *http.Client
	transport *http.Transport
}

func newClient(cfg clientConfig) *client {
	t := newTransport(cfg.TrustedCert)
	return &client{cfg: cfg, transport: t, http: &http.Client{Transport: t, Timeout: requestTimeout}}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// authorizeURL is where the browser is sent.
func (c *client) authorizeURL(state, nonce, verifier string) string {
	return c.cfg.Issuer + "/authorize?" + url.Values{
		"response_type": {"code"}, "scope": {"openid profile"}, "client_id": {c.cfg.ClientID}, "redirect_uri": {c.cfg.RedirectURI},
		"state": {state}, "nonce": {nonce}, "code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}.Encode()
}

// errRefused: the provider knows no such code, or not for us.
var errRefused = errors.New("the provider refuses the code")

// exchange turns the code that the browser has brought into what the provider says of the person. Errors hold neither
// the code nor the verifier.
func (c *client) exchange(ctx context.Context, code, nonce, verifier string) (claims, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {c.cfg.RedirectURI},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return claims{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret)) // RFC 6749, section 2.3.1
	response, err := c.http.Do(req)
	if err != nil {
		return claims{}, fmt.Errorf("exchange code: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return claims{}, fmt.Errorf("exchange code: %w", err)
	}
	var answer tokenAnswer
	switch {
	case response.StatusCode >= http.StatusInternalServerError:
		return claims{}, fmt.Errorf("exchange code: %s", response.Status)
	case response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil:
		return claims{}, errRefused
	}
	return readToken([]byte(c.cfg.ClientSecret), answer.IDToken, c.cfg.Issuer, c.cfg.ClientID, nonce, time.Now())
}
