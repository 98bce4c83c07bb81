package oidclogin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Identity is a user who has logged in at the provider.
type Identity struct {
	// Issuer and Subject together identify the user and never change. Find the user by them, and not by name or email
	// address.
	Issuer, Subject string
	// SID is the provider's session, which back-channel logout names; "" if the provider sends none.
	SID string
	// AuthenticatedAt is when the user authenticated at the provider; zero if it does not say.
	AuthenticatedAt time.Time
	// ReturnTo is that of BeginOptions.
	ReturnTo string
	// Token contains the access and refresh tokens.
	Token *oauth2.Token
	// IDToken is the signed token, for LogoutURL.
	IDToken string

	token *oidc.IDToken
	now   time.Time
}

// Claims decodes the claims of the ID token, such as name or email, into a pointer to a struct.
func (id *Identity) Claims(v any) error { return id.token.Claims(v) }

// CreateOptions returns options for the session: back-channel logout finds it by them, and the time of the login is
// the provider's.
func (id *Identity) CreateOptions() sessionstore.CreateOptions {
	o := sessionstore.CreateOptions{Issuer: id.Issuer, SID: id.SID}
	if id.SID == "" {
		o.Issuer = ""
	}
	if id.AuthenticatedAt.IsZero() {
		o.Unauthenticated = true
	} else {
		o.AuthenticatedAgo = max(id.now.Sub(id.AuthenticatedAt), 0)
	}
	return o
}

// Finish finishes a login that any pod has begun with Begin. The handler of Config.RedirectURL calls it. It writes no
// response and no cookie; the application creates the session.
func (c *Client) Finish(_ http.ResponseWriter, r *http.Request) (*Identity, error) {
	ctx, cancel := context.WithTimeout(r.Context(), c.cfg.Timeout)
	defer cancel()
	query := r.URL.Query()

	// The attempt first: whatever else is wrong, it is used up.
	a, err := c.take(ctx, query.Get("state"), c.bindingOf(r))
	if err != nil {
		return nil, err
	}
	p, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	if iss := query.Get("iss"); iss != c.cfg.Issuer && (iss != "" || p.namesSelf) {
		return nil, fmt.Errorf("%w: response is from another issuer", ErrAttempt)
	}
	if code := query.Get("error"); code != "" {
		return nil, fmt.Errorf("%w: %.40q", ErrDenied, code)
	}

	token, err := p.oauth2.Exchange(oidc.ClientContext(ctx, c.cfg.HTTPClient), query.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return nil, exchangeError(err)
	}
	return c.identify(ctx, p, a, token)
}

// take takes an attempt, once.
func (c *Client) take(ctx context.Context, state, binding string) (a attempt, err error) {
	if binding == "" {
		return a, ErrAttempt
	}

	data, err := c.store.TakeOneTime(ctx, attemptKind, state, binding)
	switch {
	case errors.Is(err, sessionstore.ErrNoSession), errors.Is(err, sessionstore.ErrBinding):
		return a, ErrAttempt
	case err != nil:
		return a, err
	}

	if json.Unmarshal(data, &a) != nil || a.Issuer != c.cfg.Issuer || a.ClientID != c.cfg.ClientID {
		return attempt{}, ErrAttempt
	}

	return a, nil
}

// exchangeError distinguishes a refused code from a provider that cannot be reached. Neither error contains the code.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError {
		return fmt.Errorf("%w: code refused: %.40q", ErrToken, refused.ErrorCode)
	}
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: token endpoint failed", ErrProvider)
	}
	return fmt.Errorf("%w: %w", ErrProvider, err)
}

// identify checks the ID token.
func (c *Client) identify(ctx context.Context, p *provider, a attempt, token *oauth2.Token) (*Identity, error) {
	raw, _ := token.Extra("id_token").(string)
	verified, err := p.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(a.Nonce)) != 1 {
		return nil, fmt.Errorf("%w: nonce differs", ErrToken)
	}
	if verified.Subject == "" {
		return nil, fmt.Errorf("%w: no subject", ErrToken)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrToken, err)
		}
	}
	var claims struct {
		SID      string `json:"sid"`
		AuthTime int64  `json:"auth_time"`
		Party    string `json:"azp"`
	}
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if claims.Party != "" && claims.Party != c.cfg.ClientID {
		return nil, fmt.Errorf("%w: issued to another party", ErrToken)
	}

	id := &Identity{
		Issuer: verified.Issuer, Subject: verified.Subject, SID: claims.SID, ReturnTo: a.ReturnTo,
		Token: token, IDToken: raw, token: verified, now: time.Now(),
	}
	if claims.AuthTime > 0 {
		id.AuthenticatedAt = time.Unix(claims.AuthTime, 0).UTC()
	}
	if a.MaxAge > 0 && id.now.Sub(id.AuthenticatedAt) > time.Duration(a.MaxAge)*time.Second+leeway {
		return nil, fmt.Errorf("%w: authentication is too old", ErrToken)
	}
	return id, nil
}

// leeway is how far the provider's clock and ours may be apart.
const leeway = 30 * time.Second
