package oidclogin

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Client is this application's connection to one provider. All methods are safe for concurrent use.
type Client struct {
	cfg      Config
	store    Store
	provider atomic.Pointer[provider]
}

// New returns a client. It starts nothing and does no I/O. cfg is copied. The error is [ErrConfig] and names the
// field.
func New(store Store, cfg *Config) (*Client, error) {
	if store == nil {
		return nil, fmt.Errorf("%w: store is nil", ErrConfig)
	}
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Client{cfg: c, store: store}, nil
}

// provider is what was discovered.
type provider struct {
	oauth2    oauth2.Config
	verifier  *oidc.IDTokenVerifier // of ID tokens
	logouts   *oidc.IDTokenVerifier // of logout tokens
	namesSelf bool                  // in authorization responses, RFC 9207
	endpoint  string                // for logouts that the user begins here
}

// discover reads the provider's configuration once. Who comes at the same time may read it as well; a failure is not
// remembered.
func (c *Client) discover(ctx context.Context) (*provider, error) {
	if p := c.provider.Load(); p != nil {
		return p, nil
	}

	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, c.cfg.HTTPClient), c.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	var more struct {
		JWKS        string   `json:"jwks_uri"`
		Algorithms  []string `json:"id_token_signing_alg_values_supported"`
		NamesSelf   bool     `json:"authorization_response_iss_parameter_supported"`
		EndpointURL string   `json:"end_session_endpoint"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProvider, err)
	}

	// The keys are read when they are needed, with a context that does not end with this request.
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), c.cfg.HTTPClient), more.JWKS)
	verified := oidc.Config{ClientID: c.cfg.ClientID, SupportedSigningAlgs: signatures(more.Algorithms)}
	logouts := verified
	logouts.SkipExpiryCheck = true // not every provider sets one; their age is checked instead
	p := &provider{
		oauth2: oauth2.Config{
			ClientID: c.cfg.ClientID, ClientSecret: c.cfg.ClientSecret, Endpoint: found.Endpoint(),
			RedirectURL: c.cfg.RedirectURL, Scopes: c.cfg.Scopes,
		},
		verifier:  oidc.NewVerifier(c.cfg.Issuer, keys, &verified),
		logouts:   oidc.NewVerifier(c.cfg.Issuer, keys, &logouts),
		namesSelf: more.NamesSelf, endpoint: more.EndpointURL,
	}
	c.provider.CompareAndSwap(nil, p)
	return c.provider.Load(), nil
}

// signatures are the algorithms to accept: never a symmetric one, or none.
func signatures(supported []string) (accepted []string) {
	for _, alg := range supported {
		switch alg {
		case oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA:
			accepted = append(accepted, alg)
		}
	}
	return accepted
}
