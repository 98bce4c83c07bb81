package scsstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// DefaultCommitTimeout is the default of Config.CommitTimeout.
const DefaultCommitTimeout = 5 * time.Second

// Config configures a [Store]. A nil or zero Config uses the defaults.
type Config struct {
	// Sessions configures the underlying sessionstore. Codec, Clone, ShareData and SealKeys must not be set: this
	// package encodes values, and scs makes the tokens. Policy is ignored in favor of the manager's IdleTimeout and
	// Lifetime.
	Sessions sessionstore.Config[Data]

	// WithUser returns the user of a session from its values, or "". It is needed for Sessions().List and RevokeUser.
	// It is called at each commit, with the session locked, so it must neither call the manager nor change values.
	// Defaults to nil: no session has a user.
	WithUser func(values map[string]any) string

	// Device returns the description of a new session for lists, from the request's context. Defaults to nil: none.
	Device func(ctx context.Context) *sessionstore.Device

	// FixedCookieName makes Store.Handler keep the manager's cookie name, for programs that read the cookie without
	// the manager, and while some pods run without Handler. A late response can then replace or delete the cookie of
	// a newer login. Defaults to false: the name is the manager's, plus eight characters that depend on the token.
	// Cookies with either name are read.
	FixedCookieName bool

	// CommitTimeout bounds writing a session, which continues if the client disconnects. Defaults to
	// DefaultCommitTimeout.
	CommitTimeout time.Duration
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.CommitTimeout = cmp.Or(d.CommitTimeout, DefaultCommitTimeout)
	return d
}

func (c *Config) validate(manager *scs.SessionManager) error {
	s := &c.Sessions
	switch {
	case manager == nil:
		return fmt.Errorf("%w: manager is nil", ErrConfig)
	case manager.Lifetime <= 0:
		return fmt.Errorf("%w: the manager's Lifetime of %v is not positive", ErrConfig, manager.Lifetime)
	case manager.IdleTimeout < 0:
		return fmt.Errorf("%w: the manager's IdleTimeout of %v is negative", ErrConfig, manager.IdleTimeout)
	case s.Codec != nil:
		return fmt.Errorf("%w: Sessions.Codec: set the manager's Codec before New instead", ErrConfig)
	case s.Clone != nil || s.ShareData:
		return fmt.Errorf("%w: Sessions.Clone and Sessions.ShareData are set by New", ErrConfig)
	case len(s.SealKeys) > 0:
		return fmt.Errorf("%w: Sessions.SealKeys: scs makes the tokens, and does not seal them", ErrConfig)
	case s.Policy != sessionstore.Policy{}:
		return fmt.Errorf("%w: Sessions.Policy: set IdleTimeout and Lifetime of the manager instead", ErrConfig)
	case c.CommitTimeout < time.Millisecond:
		return fmt.Errorf("%w: CommitTimeout: %v is less than a millisecond", ErrConfig, c.CommitTimeout)
	}

	return nil
}
