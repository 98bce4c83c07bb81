package oidclogin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

const (
	logoutKind  = "pgcoherence oidc logout"
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	maxLogout   = 64 << 10 // bytes of a request
)

// errUnmapped is for a logout of a subject, without Config.Users.
var errUnmapped = errors.New("oidclogin: logout by subject needs Config.Users")

// LogoutURL returns the URL at the provider that ends the user's session there, too (RP-initiated logout), and false
// if the provider has none. idToken identifies the session and may be empty. returnTo is a registered URL.
func (c *Client) LogoutURL(ctx context.Context, idToken, returnTo string) (string, bool, error) {
	p, err := c.discover(ctx)
	if err != nil || p.endpoint == "" {
		return "", false, err
	}

	u, err := url.Parse(p.endpoint)
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrProvider, err)
	}

	q := u.Query()
	q.Set("client_id", c.cfg.ClientID)
	if idToken != "" {
		q.Set("id_token_hint", idToken)
	}

	if returnTo != "" {
		q.Set("post_logout_redirect_uri", returnTo)
	}
	u.RawQuery = q.Encode()
	return u.String(), true, nil
}

// BackChannelLogout returns the handler that the provider calls when a session has ended there (OpenID Connect
// Back-Channel Logout 1.0). It responds with 200 when the sessions have ended, 400 for a token that is not accepted,
// 501 for a logout by subject without Config.Users, and 503 if it failed, so that the provider tries again.
//
// The provider is not a browser: keep the handler outside of middleware that checks cookies and origins.
func (c *Client) BackChannelLogout() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxLogout)

		// It goes on if the provider does not wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.cfg.Timeout)
		defer cancel()
		_, err := c.Logout(ctx, r.PostFormValue("logout_token"))
		if err == nil {
			return
		}
		c.cfg.Logger.WarnContext(ctx, "back-channel logout refused", slog.Any("error", err))
		if errors.Is(err, errUnmapped) {
			http.Error(w, "logout by subject is not supported", http.StatusNotImplemented)
			return
		}
		status, message := Describe(err)
		if status == http.StatusInternalServerError {
			status = http.StatusServiceUnavailable
		}
		http.Error(w, message, status)
	})
}

// logoutClaims are those of a logout token.
type logoutClaims struct {
	ID       string                     `json:"jti"`
	Subject  string                     `json:"sub"`
	SID      string                     `json:"sid"`
	Nonce    *string                    `json:"nonce"`
	IssuedAt int64                      `json:"iat"`
	Expires  int64                      `json:"exp"`
	Events   map[string]json.RawMessage `json:"events"`
}

// Logout ends the sessions that a logout token names: the one with its sid, or all of its subject's users. The
// receipt is for the bus's Confirm. It returns ErrToken if the token is not accepted, and ErrReplayed if it was used
// before.
func (c *Client) Logout(ctx context.Context, token string) (receipt bus.Receipt, err error) {
	claims, err := c.verifyLogout(ctx, token)
	if err != nil {
		return receipt, err
	}
	if claims.SID == "" && c.cfg.Users == nil {
		return receipt, errUnmapped
	}

	// It is remembered after the sessions are over: should anything fail before that, the provider tries again.
	id := c.cfg.Issuer + " " + claims.ID
	used, err := c.store.Remembers(ctx, logoutKind, id)
	if err != nil {
		return receipt, err
	}
	if used {
		return receipt, ErrReplayed
	}
	if receipt, err = c.end(ctx, claims); err != nil {
		return receipt, err
	}
	return receipt, c.store.Remember(ctx, logoutKind, id, c.cfg.MaxLogoutAge+2*leeway)
}

func (c *Client) end(ctx context.Context, claims *logoutClaims) (receipt bus.Receipt, err error) {
	if claims.SID != "" {
		return c.store.RevokeBySID(ctx, c.cfg.Issuer, claims.SID)
	}
	users, err := c.cfg.Users(ctx, c.cfg.Issuer, claims.Subject)
	if err != nil {
		return receipt, err
	}
	for _, user := range users {
		if receipt, err = c.store.RevokeUser(ctx, user); err != nil {
			return receipt, err
		}
	}
	return receipt, nil
}

// verifyLogout checks what section 2.6 of the specification asks for.
func (c *Client) verifyLogout(ctx context.Context, token string) (*logoutClaims, error) {
	if !mayBeLogout(token) {
		return nil, fmt.Errorf("%w: not a logout token", ErrToken)
	}
	p, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	verified, err := p.logouts.Verify(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	var claims logoutClaims
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}

	now := time.Now()
	issued := time.Unix(claims.IssuedAt, 0)
	event, ok := claims.Events[logoutEvent]
	var object map[string]json.RawMessage
	switch {
	case !ok || json.Unmarshal(event, &object) != nil || object == nil:
		return nil, fmt.Errorf("%w: no logout event", ErrToken)
	case claims.Nonce != nil:
		return nil, fmt.Errorf("%w: a logout token has no nonce", ErrToken)
	case claims.SID == "" && claims.Subject == "":
		return nil, fmt.Errorf("%w: neither sid nor sub", ErrToken)
	case claims.ID == "":
		return nil, fmt.Errorf("%w: no jti", ErrToken)
	case issued.Before(now.Add(-c.cfg.MaxLogoutAge - leeway)), issued.After(now.Add(leeway)):
		return nil, fmt.Errorf("%w: issued too long ago, or in the future", ErrToken)
	case claims.Expires != 0 && time.Unix(claims.Expires, 0).Before(now.Add(-leeway)):
		return nil, fmt.Errorf("%w: expired", ErrToken)
	}
	return &claims, nil
}

// mayBeLogout looks at the type of a token, where it has one: others of the provider's are not for logging out.
func mayBeLogout(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	var h struct {
		Type string `json:"typ"`
	}
	if err != nil || json.Unmarshal(text, &h) != nil {
		return false
	}
	switch strings.ToLower(strings.TrimPrefix(h.Type, "application/")) {
	case "", "jwt", "logout+jwt":
		return true
	}
	return false
}
