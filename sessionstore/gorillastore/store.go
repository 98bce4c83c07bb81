package gorillastore

import (
	"cmp"
	"context"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Store implements sessions.Store. All methods are safe for concurrent use with different requests and sessions. It
// is a prometheus.Collector, together with its Sessions.
type Store struct {
	cfg      Config
	codecs   []securecookie.Codec // none: the cookie is the token
	sessions *sessionstore.Store[Data]
	stats    counters
	saves    *prometheus.Desc
}

var _ sessions.Store = (*Store)(nil)

// New returns a store. The tables are those of sessionstore.Migrate. It starts nothing and does no I/O. cfg is
// copied, and may be nil. The error is [ErrConfig] or sessionstore.ErrConfig, and names the field.
func New(b bus.Bus, pool *pgxpool.Pool, cfg *Config) (*Store, error) {
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}

	inner := c.Sessions
	inner.Codec, inner.ShareData = rowCodec{}, true
	own, err := sessionstore.New(b, pool, &inner)
	if err != nil {
		return nil, err
	}

	s := &Store{cfg: c, sessions: own, saves: newSavesDesc(cmp.Or(c.Sessions.Name, sessionstore.DefaultName))}
	if len(c.KeyPairs) > 0 {
		s.codecs = securecookie.CodecsFromPairs(c.KeyPairs...)
		for _, codec := range s.codecs {
			if cookie, ok := codec.(*securecookie.SecureCookie); ok {
				cookie.MaxAge(0) // the database knows when a session is over
			}
		}
	}

	return s, nil
}

// Run calls sessionstore.Store.Run. Call it in a goroutine.
func (s *Store) Run(ctx context.Context) error { return s.sessions.Run(ctx) }

// Close calls sessionstore.Store.Close.
func (s *Store) Close() error { return s.sessions.Close() }

// Sessions returns the underlying sessionstore, for lists, RevokeUser, RevokeByID, Bind and metrics. Its tokens are
// those that Token returns.
func (s *Store) Sessions() *sessionstore.Store[Data] { return s.sessions }

// BeginLogin records in a session the user whose credentials are about to be checked. If that user then logs in (by
// WithUser at Save), and all sessions of the user were ended in between, the new session is ended with them. The
// login may take several requests; then save the session in between.
func (s *Store) BeginLogin(ctx context.Context, session *sessions.Session, user string) error {
	login, err := s.sessions.BeginLogin(ctx, user)
	if err != nil {
		return err
	}
	text, err := login.MarshalText()
	if err != nil {
		return err
	}
	session.Values[loginKey] = string(text)
	return nil
}

// FromProvider records in a session the identity provider's session from which its login came, so that the provider
// can end it (RevokeBySID of Sessions). Call it after BeginLogin. An empty sid is a no-op.
func (s *Store) FromProvider(session *sessions.Session, issuer, sid string) {
	if sid != "" {
		session.Values[providerKey] = issuer + " " + sid
	}
}
