package scsstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"sync"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Store is an scs.CtxStore and scs.IterableCtxStore. All methods are safe for concurrent use. It is a
// prometheus.Collector, together with its Sessions.
type Store struct {
	cfg      Config
	manager  *scs.SessionManager
	forms    forms
	sessions *sessionstore.Store[Data]
	handles  handles
	renewals renewals
	stats    counters
	commits  *prometheus.Desc
	log      *slog.Logger
	past     sync.Once // the warning about commits past the codec
}

var (
	_ scs.CtxStore         = (*Store)(nil)
	_ scs.IterableStore    = (*Store)(nil)
	_ scs.IterableCtxStore = (*Store)(nil)
)

// New makes a store and sets manager.Store and manager.Codec; a Codec that the program had chosen goes on encoding the
// values. An ErrorFunc that is still scs' own is replaced by Store.ErrorFunc. The tables are those of sessionstore.Migrate. It starts nothing and does no I/O; cfg is copied, nil is fine.
// The error is ErrConfig, or sessionstore.ErrConfig, and names the field; the manager is then as it was.
//
// A store belongs to one manager: it asks that one whether tokens come hashed.
func New(b bus.Bus, pool *pgxpool.Pool, manager *scs.SessionManager, cfg *Config) (*Store, error) {
	c := cfg.withDefaults()
	if err := c.validate(manager); err != nil {
		return nil, err
	}
	if used, ok := manager.Codec.(managerCodec); ok {
		return nil, fmt.Errorf("%w: the manager has a store of this package already (its codec is %T)", ErrConfig, used)
	}
	f := newForms(manager.Codec)
	inner := c.Sessions
	inner.Codec, inner.ShareData = rowCodec{f}, true
	sessions, err := sessionstore.New(b, pool, &inner)
	if err != nil {
		return nil, err
	}
	logger := c.Sessions.Logger
	if logger == nil {
		logger = slog.Default()
	}
	s := &Store{
		cfg: c, manager: manager, forms: f, sessions: sessions, log: logger.With(slog.String("component", "scsstore")),
		commits: newCommitsDesc(cmp.Or(c.Sessions.Name, sessionstore.DefaultName)),
	}
	manager.Store, manager.Codec = s, managerCodec{f, c.WithUser}
	if isDefaultErrorFunc(manager.ErrorFunc) {
		manager.ErrorFunc = s.ErrorFunc
	}
	return s, nil
}

// Run does what sessionstore.Store.Run does: the caller runs it in a goroutine until ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.sessions.Run(ctx) }

// Close is sessionstore.Store.Close.
func (s *Store) Close() error {
	s.handles.drop()
	return s.sessions.Close()
}

// FromProvider notes which session at an identity provider the login of ctx came from, so that the provider can end this
// one by it (RevokeBySID of Sessions). Call it after BeginLogin. An empty sid is a no-op.
func (s *Store) FromProvider(ctx context.Context, issuer, sid string) {
	if sid != "" {
		s.manager.Put(ctx, providerKey, issuer+" "+sid)
	}
}

// Sessions is the sessionstore beneath: lists, RevokeUser, RevokeByID, Bind, metrics. It knows sessions by what Token
// returns.
func (s *Store) Sessions() *sessionstore.Store[Data] { return s.sessions }

// Values decodes what Sessions returns as data; nobody else has the map.
func (s *Store) Values(d Data) (map[string]any, error) {
	codec, ok := s.manager.Codec.(managerCodec)
	if !ok {
		return nil, fmt.Errorf("%w: the manager's Codec was replaced", ErrConfig)
	}
	return codec.forms.decode(d)
}

// Token is what Sessions knows a session by whose token for scs, as manager.Token says it, is this: for GetFresh, Bind,
// RevokeUserExcept.
func (s *Store) Token(token string) string { return hashed(token) }

// hashed is the hash that scs makes with HashTokenInStore.
func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// hashedLen is the length of such a hash.
const hashedLen = 43

// token is what Sessions knows a session by, from what scs has called a method with. Exactly one hashes.
func (s *Store) token(given string) (string, error) {
	if !s.manager.HashTokenInStore {
		return hashed(given), nil
	}
	if len(given) != hashedLen {
		return "", ErrUnhashed
	}
	return given, nil
}

func digestOf(token string) digest {
	sum := sha256.Sum256([]byte(token))
	return digest(sum[:16])
}

// BeginLogin notes whose credentials are about to be checked, in the session of ctx: when that user has logged in then,
// by what WithUser says, and somebody ends all sessions of the user in between, the new session is ended with them. It
// may be called some requests before the login is complete.
func (s *Store) BeginLogin(ctx context.Context, user string) error {
	login, err := s.sessions.BeginLogin(ctx, user)
	if err != nil {
		return err
	}
	text, err := login.MarshalText()
	if err != nil {
		return err
	}
	s.manager.Put(ctx, loginKey, string(text))
	return nil
}
