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

// Store implements scs.CtxStore and scs.IterableCtxStore. All methods are safe for concurrent use. It is a
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

// New returns a store and sets manager.Store and manager.Codec. A Codec that the program has set still encodes the
// values. If the ErrorFunc is scs's own, New replaces it by Store.ErrorFunc. The tables are those of
// sessionstore.Migrate. New starts nothing and does no I/O. cfg is copied, and may be nil. The error is [ErrConfig]
// or sessionstore.ErrConfig, and names the field; the manager is then unchanged.
//
// A store belongs to one manager, whose settings report whether tokens are hashed.
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

// Run calls sessionstore.Store.Run. Call it in a goroutine.
func (s *Store) Run(ctx context.Context) error { return s.sessions.Run(ctx) }

// Close calls sessionstore.Store.Close.
func (s *Store) Close() error {
	s.handles.drop()
	return s.sessions.Close()
}

// FromProvider records the identity provider's session from which the login of ctx came, so that the provider can end
// it (RevokeBySID of Sessions). Call it after BeginLogin. An empty sid is a no-op.
func (s *Store) FromProvider(ctx context.Context, issuer, sid string) {
	if sid != "" {
		s.manager.Put(ctx, providerKey, issuer+" "+sid)
	}
}

// Sessions returns the underlying sessionstore, for lists, RevokeUser, RevokeByID, Bind and metrics. Its tokens are
// those that Token returns.
func (s *Store) Sessions() *sessionstore.Store[Data] { return s.sessions }

// Values decodes the data that Sessions returns. The caller owns the map.
func (s *Store) Values(d Data) (map[string]any, error) {
	codec, ok := s.manager.Codec.(managerCodec)
	if !ok {
		return nil, fmt.Errorf("%w: the manager's Codec was replaced", ErrConfig)
	}
	return codec.forms.decode(d)
}

// Token returns the token in Sessions, for GetFresh, Bind and RevokeUserExcept, of a token from manager.Token.
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

// BeginLogin records, in the session of ctx, the user whose credentials are about to be checked. If that user then
// logs in (by WithUser), and all sessions of the user were ended in between, the new session is ended with them. The
// login may take several requests.
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
