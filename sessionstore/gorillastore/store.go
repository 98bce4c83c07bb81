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

// Store is a sessions.Store. All methods are safe for concurrent use, with requests and sessions of their own. It is a
// prometheus.Collector, together with its Sessions.
type Store struct {
	cfg      Config
	codecs   []securecookie.Codec // none: the cookie is the token
	sessions *sessionstore.Store[Data]
	stats    counters
	saves    *prometheus.Desc
}

var _ sessions.Store = (*Store)(nil)

// New makes a store. The tables are those of sessionstore.Migrate. It starts nothing and does no I/O; cfg is copied, nil
// is fine. The error is ErrConfig, or sessionstore.ErrConfig, and names the field.
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

// Run does what sessionstore.Store.Run does: the caller runs it in a goroutine until ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.sessions.Run(ctx) }

// Close is sessionstore.Store.Close.
func (s *Store) Close() error { return s.sessions.Close() }

// Sessions is the sessionstore beneath: lists, RevokeUser, RevokeByID, Bind, metrics. It knows sessions by what Token
// returns.
func (s *Store) Sessions() *sessionstore.Store[Data] { return s.sessions }

// BeginLogin notes whose credentials are about to be checked, in a session: when that user has logged in then, by what
// WithUser says at Save, and somebody ends all sessions of the user in between, the new session is ended with them. It may
// be called some requests before the login is complete; then the session has to be saved in between.
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

// FromProvider notes in a session which session at an identity provider its login came from, so that the provider can end
// this one by it (RevokeBySID of Sessions). Call it after BeginLogin. An empty sid is a no-op.
func (s *Store) FromProvider(session *sessions.Session, issuer, sid string) {
	if sid != "" {
		session.Values[providerKey] = issuer + " " + sid
	}
}
