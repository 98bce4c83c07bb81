package gorillastore

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/sessions"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// DefaultSaveTimeout is the default of Config.SaveTimeout.
const DefaultSaveTimeout = 5 * time.Second

// Config configures a [Store]. A nil or zero Config uses the defaults.
type Config struct {
	// Sessions configures the underlying sessionstore. Codec, Clone and ShareData must not be set: this package
	// encodes values.
	Sessions sessionstore.Config[Data]

	// Options are the default options of sessions; each session has a copy. Defaults to Path "/", HttpOnly, Secure,
	// SameSite=Lax and MaxAge 0: until the browser is closed, at most Sessions.Policy.Absolute.
	Options *sessions.Options

	// KeyPairs wrap the cookie with securecookie: authentication key, encryption key, and the same for older pairs,
	// as for other stores of gorilla. Defaults to none: the cookie is the token.
	KeyPairs [][]byte

	// FixedCookieName makes the session's name the cookie's name, for programs that read the cookie without this
	// store, and while pods run with a version that does not know the longer names. A late response can then replace
	// or delete the cookie of a newer login. Defaults to false: the name is the session's, plus eight characters that
	// depend on the token. Cookies with either name are read.
	FixedCookieName bool

	// WithUser returns the user of a session from its values, or "". It is needed for Sessions().List and RevokeUser.
	// It is called at each Save and must not change values. Defaults to nil: no session has a user.
	WithUser func(values map[any]any) string

	// Device returns the description of a new session for lists. Defaults to nil: none.
	Device func(r *http.Request) *sessionstore.Device

	// SaveTimeout bounds writing a session, which continues if the client disconnects. Defaults to
	// DefaultSaveTimeout.
	SaveTimeout time.Duration
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}

	if d.Options == nil {
		d.Options = &sessions.Options{Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
	} else {
		o := *d.Options
		d.Options = &o
	}

	pairs := make([][]byte, len(d.KeyPairs))
	for i, key := range d.KeyPairs {
		pairs[i] = append([]byte(nil), key...)
	}

	d.KeyPairs = pairs
	d.SaveTimeout = cmp.Or(d.SaveTimeout, DefaultSaveTimeout)
	return d
}

func (c *Config) validate() error {
	s := &c.Sessions
	switch {
	case s.Codec != nil:
		return fmt.Errorf("%w: Sessions.Codec is set by New", ErrConfig)
	case s.Clone != nil || s.ShareData:
		return fmt.Errorf("%w: Sessions.Clone and Sessions.ShareData are set by New", ErrConfig)
	case c.Options.MaxAge < 0:
		return fmt.Errorf("%w: Options.MaxAge: %d would end every session", ErrConfig, c.Options.MaxAge)
	case c.SaveTimeout < time.Millisecond:
		return fmt.Errorf("%w: SaveTimeout: %v is less than a millisecond", ErrConfig, c.SaveTimeout)
	}

	for i, key := range c.KeyPairs {
		switch n := len(key); {
		case i%2 == 0 && n < 16:
			return fmt.Errorf("%w: KeyPairs: number %d signs and has %d bytes, at least 16", ErrConfig, i, n)
		case i%2 == 1 && n != 0 && n != 16 && n != 24 && n != 32:
			return fmt.Errorf("%w: KeyPairs: number %d encrypts and has %d bytes, want 16, 24 or 32", ErrConfig, i, n)
		}
	}

	return nil
}
