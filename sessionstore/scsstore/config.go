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

// Config is how a store works; nil and the zero value are good ones.
type Config struct {
	// Sessions configures the sessionstore beneath. Codec, Clone, ShareData and SealKeys are not for the caller to set:
	// values are encoded here, and scs makes the tokens. Policy does not apply: the manager's IdleTimeout and Lifetime do.
	Sessions sessionstore.Config[Data]

	// WithUser says whose session it is, from its values; empty for nobody's. It makes Sessions().List and RevokeUser
	// work. It is called at each commit, with the session locked: it must not call the manager, nor change values. Defaults
	// to nil: no session has a user.
	WithUser func(values map[string]any) string

	// Device says what lists show for a new session, from the request's context. Defaults to nil: nothing.
	Device func(ctx context.Context) *sessionstore.Device

	// FixedCookieName has Store.Handler leave the cookie's name as the manager has it, for programs that read it past the
	// manager, and while pods run without Handler. A response that is late can then replace or delete the cookie of a login
	// that has come in between. Defaults to false: the name is the manager's with eight characters that depend on the
	// token. Cookies with either name are read.
	FixedCookieName bool

	// CommitTimeout bounds writing a session, which goes on when the client has gone away. Defaults to
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
