package oidclogin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// The defaults of [Config].
const (
	DefaultAttemptTTL   = 10 * time.Minute
	DefaultTimeout      = 10 * time.Second
	DefaultMaxLogoutAge = 5 * time.Minute
	DefaultCookieName   = "oidc"
)

// Store is what this package needs of a session store: a *sessionstore.Store with any data, such as the result of the
// method Sessions of scsstore and gorillastore.
type Store interface {
	PutOneTime(ctx context.Context, kind string, data []byte, o *sessionstore.OneTimeOptions) (string, error)
	TakeOneTime(ctx context.Context, kind, value, binding string) ([]byte, error)
	Remember(ctx context.Context, kind, id string, ttl time.Duration) error
	Remembers(ctx context.Context, kind, id string) (bool, error)
	RevokeBySID(ctx context.Context, issuer, sid string) (bus.Receipt, error)
	RevokeUser(ctx context.Context, user string) (bus.Receipt, error)
}

// Config configures a [Client]. Issuer, ClientID and RedirectURL are required.
type Config struct {
	// Issuer is the provider's URL, exactly as in its metadata, which is read when it is first needed.
	Issuer string
	// ClientID and ClientSecret identify this application at the provider. A public client has no secret.
	ClientID, ClientSecret string
	// RedirectURL is the URL of the handler that calls Finish, as registered at the provider.
	RedirectURL string
	// Scopes are the requested scopes, in addition to "openid". Defaults to none.
	Scopes []string

	// Users returns the application's users for a subject of the provider, for back-channel logout without a sid.
	// Defaults to nil: such a logout is refused with 501.
	Users func(ctx context.Context, issuer, subject string) (users []string, err error)

	// CookieName is the name of the cookie that binds an attempt to its browser. Defaults to DefaultCookieName, with
	// the prefix __Host-.
	CookieName string
	// Insecure omits Secure and the prefix. It is only for plain HTTP on a developer's machine. Defaults to false.
	Insecure bool

	// AttemptTTL is how long a user may take to log in at the provider. Defaults to DefaultAttemptTTL.
	AttemptTTL time.Duration
	// Timeout bounds each request to the provider and each write to the database. Defaults to DefaultTimeout.
	Timeout time.Duration
	// MaxLogoutAge is the maximum age of a logout token, and how long it is remembered. Defaults to
	// DefaultMaxLogoutAge.
	MaxLogoutAge time.Duration

	// HTTPClient sends the requests to the provider. Defaults to http.DefaultClient.
	HTTPClient *http.Client
	// Logger receives refused and failed logouts. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}

	d.Scopes = slices.Clone(d.Scopes)
	if !slices.Contains(d.Scopes, oidc.ScopeOpenID) {
		d.Scopes = append([]string{oidc.ScopeOpenID}, d.Scopes...)
	}

	d.CookieName = cmp.Or(d.CookieName, DefaultCookieName)
	d.AttemptTTL = cmp.Or(d.AttemptTTL, DefaultAttemptTTL)
	d.Timeout = cmp.Or(d.Timeout, DefaultTimeout)
	d.MaxLogoutAge = cmp.Or(d.MaxLogoutAge, DefaultMaxLogoutAge)
	if d.HTTPClient == nil {
		d.HTTPClient = http.DefaultClient
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With(slog.String("component", "oidclogin"))
	return d
}

// longest is what the database's arithmetic holds.
const longest = 100 * 365 * 24 * time.Hour

func (c *Config) validate() error {
	for _, f := range []struct{ name, value string }{{"Issuer", c.Issuer}, {"RedirectURL", c.RedirectURL}} {
		u, err := url.Parse(f.value)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return fmt.Errorf("%w: %s: %q is no URL", ErrConfig, f.name, f.value)
		case u.Scheme == "http" && !c.Insecure:
			return fmt.Errorf("%w: %s: %q is not https; Insecure allows it", ErrConfig, f.name, f.value)
		}
	}

	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"AttemptTTL", c.AttemptTTL}, {"Timeout", c.Timeout}, {"MaxLogoutAge", c.MaxLogoutAge}} {
		if d.value > longest {
			return fmt.Errorf("%w: %s: %v is more than a hundred years", ErrConfig, d.name, d.value)
		}
	}

	switch {
	case c.ClientID == "":
		return fmt.Errorf("%w: ClientID is empty", ErrConfig)
	case c.AttemptTTL < time.Second:
		return fmt.Errorf("%w: AttemptTTL: %v is less than a second", ErrConfig, c.AttemptTTL)
	case c.Timeout < time.Millisecond:
		return fmt.Errorf("%w: Timeout: %v is less than a millisecond", ErrConfig, c.Timeout)
	case c.MaxLogoutAge < time.Second:
		return fmt.Errorf("%w: MaxLogoutAge: %v is less than a second", ErrConfig, c.MaxLogoutAge)
	}

	return nil
}
