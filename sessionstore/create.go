package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
)

// CreateOptions are options of a new session. Nil means the defaults.
type CreateOptions struct {
	// Policy says when the session ends: longer for "remember me", shorter for a kiosk. Zero fields default to
	// Config.Policy.
	Policy Policy
	// Device is shown in lists. Defaults to nil.
	Device *Device
	// Issuer and SID identify the session at an identity provider, which ends it with them (RevokeBySID).
	Issuer, SID string
	// AuthenticatedAgo is how long ago the user authenticated, if that was elsewhere. Defaults to 0.
	AuthenticatedAgo time.Duration
	// Unauthenticated says that the user was recognized without credentials, for example by a cookie that remembers
	// the device: AuthenticatedWithin returns false until a login with credentials.
	Unauthenticated bool
}

// Create creates a session for a user who has just logged in, and returns the token for the client. The token is
// stored nowhere. [ErrLoginEnded] means that the user's sessions were ended since BeginLogin. With Config.MaxPerUser
// it ends the oldest sessions, or returns [ErrLimit].
//
// If the client had a session before the login, use Rotate with a Login, or revoke that session: an attacker may have
// planted its token.
func (s *Store[T]) Create(ctx context.Context, login Login, data T, o *CreateOptions) (token string, _ *Session[T], err error) {
	n, err := s.newcomer(login, data, o)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, n)
}

// CreateTx is Create in a transaction of the caller that the bus began. The token is valid after the commit.
func (s *Store[T]) CreateTx(ctx context.Context, tx pgx.Tx, login Login, data T, o *CreateOptions) (token string, _ *Session[T], err error) {
	n, err := s.newcomer(login, data, o)
	if err != nil {
		return "", nil, err
	}
	var got *Session[T]
	err = s.joinTx(ctx, tx, func(tx pgx.Tx, c *changes) error {
		got, err = s.insert(ctx, tx, n, c)
		return err
	})
	if err != nil {
		return "", nil, explain("create", err)
	}
	return s.sealer.format(&n.secret), got, nil
}

// CreateAnonymous creates a session without a user. Only its own token, RevokeAll and its timeouts end it.
func (s *Store[T]) CreateAnonymous(ctx context.Context, data T, o *CreateOptions) (token string, _ *Session[T], err error) {
	n, err := s.newNewcomer(Login{}, data, o)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, n)
}

func (s *Store[T]) create(ctx context.Context, n *newcomer[T]) (token string, got *Session[T], err error) {
	if s.cfg.MaxPerUser > 0 || n.o.SID != "" {
		var receipt bus.Receipt
		receipt, err = s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
			got, err = s.insert(ctx, tx, n, c)
			return err
		})
		if err == nil {
			got.receipt = receipt
		}
	} else {
		var c changes
		if got, err = s.insert(ctx, s.pool, n, &c); err == nil {
			s.emit(ctx, c.events, false)
		}
	}

	if err != nil {
		return "", nil, explain("create", err)
	}

	s.stats.created.Add(1)
	return s.sealer.format(&n.secret), got, nil
}

// newcomer is a session that is about to be created.
type newcomer[T any] struct {
	secret secret
	id     uuid.UUID
	login  Login
	data   T
	o      CreateOptions
	policy Policy

	envelope, wrapped []byte
	lastWrite         uuid.UUID
	renewed           bool // id is that of a session that its holder has ended
}

func (s *Store[T]) newcomer(login Login, data T, o *CreateOptions) (*newcomer[T], error) {
	if login.user == "" {
		return nil, fmt.Errorf("%w: Login is zero: call BeginLogin before checking the credentials", ErrInvalid)
	}
	return s.newNewcomer(login, data, o)
}

func (s *Store[T]) newNewcomer(login Login, data T, o *CreateOptions) (*newcomer[T], error) {
	n := &newcomer[T]{secret: newSecret(), login: login, data: data, lastWrite: uuid.New()}
	if o != nil {
		n.o = *o
	}

	n.policy = n.o.Policy.or(s.cfg.Policy)
	if err := n.policy.check(); err != nil {
		return nil, fmt.Errorf("%w: Policy: %w", ErrInvalid, err)
	}

	if err := checkSID(n.o.Issuer, n.o.SID); err != nil {
		return nil, err
	}
	if n.o.AuthenticatedAgo < 0 || n.o.AuthenticatedAgo > maxAbsolute {
		return nil, fmt.Errorf("%w: AuthenticatedAgo: %v", ErrInvalid, n.o.AuthenticatedAgo)
	}

	var err error
	if n.id, err = uuid.NewV7(); err != nil {
		return nil, fmt.Errorf("sessionstore: create: %w", err)
	}

	return n, s.seal(n)
}

// seal encodes the data, and encrypts it if configured.
func (s *Store[T]) seal(n *newcomer[T]) error {
	encoded, err := s.encode(n.data)
	if err != nil {
		return err
	}
	var k *dataKey
	n.wrapped = nil
	if s.cfg.Encrypt {
		fresh := newDataKey()
		k, n.wrapped = &fresh, fresh.wrap(&n.secret, n.id)
	}
	n.envelope = pack(k, n.id, 1, s.cfg.Codec.Version(), encoded)
	return nil
}

func (s *Store[T]) encode(data T) (encoded []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: the codec panicked on encoding", ErrInvalid)
		}
	}()
	if encoded, err = s.cfg.Codec.Encode(data); err != nil {
		return nil, fmt.Errorf("%w: data does not encode: %w", ErrInvalid, err)
	}
	if len(encoded) > s.cfg.MaxData {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(encoded), s.cfg.MaxData)
	}
	return encoded, nil
}

// writer is what writing needs: a pool or a transaction.
type writer interface {
	querier
	execer
}

// insert puts the row in. Without a transaction it is one statement: no limit, no provider's session.
func (s *Store[T]) insert(ctx context.Context, db writer, n *newcomer[T], c *changes) (*Session[T], error) {
	if n.login.user != "" && s.weak.LoginLate {
		var err error
		if n.login, err = s.beginLogin(ctx, db, n.login.user); err != nil {
			return nil, err
		}
	}
	if n.o.SID != "" || s.cfg.MaxPerUser > 0 || s.weak.CountGenerations {
		if err := s.enterUser(ctx, db, n.login); err != nil { // else the statement below does it
			return nil, err
		}
	}
	if n.o.SID != "" {
		if _, err := db.Exec(ctx, s.sql.lockSID, n.o.Issuer, n.o.SID, false); err != nil {
			return nil, explain("create", err)
		}
	}
	if n.login.user != "" && s.cfg.MaxPerUser > 0 {
		if err := s.makeRoom(ctx, db, n.login.user, c); err != nil {
			return nil, err
		}
	}

	asked := s.cfg.now()
	got := &Session[T]{Data: n.data, Version: 1}
	var authenticated *time.Time
	first, second := n.secret.hash()
	err := db.QueryRow(ctx, s.sql.create, first[:], second[:], n.id.String(), n.login.user, n.login.gen, n.lastWrite.String(),
		n.envelope, n.wrapped, n.policy.idleMicros(), n.policy.Absolute.Microseconds(),
		authenticatedMicros(n.o.Unauthenticated, n.o.AuthenticatedAgo),
		n.o.Issuer, n.o.SID, n.o.Device.text(), n.renewed, string(ReasonLogout), n.login.rowless()).
		Scan(&got.CreatedAt, &authenticated, &got.RotatedAt, &got.LastSeen, &got.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrLoginEnded
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName == "session_id" {
		return nil, fmt.Errorf("%w: ID is of a session that is not over", ErrInvalid)
	}
	if err != nil {
		return nil, explain("create", err)
	}
	if authenticated != nil {
		got.AuthenticatedAt = authenticated.UTC()
	}
	got.CreatedAt, got.RotatedAt, got.LastSeen, got.ExpiresAt = got.CreatedAt.UTC(), got.RotatedAt.UTC(), got.LastSeen.UTC(), got.ExpiresAt.UTC()
	got.ID, got.User, got.Issuer, got.SID, got.Idle = n.id, n.login.user, n.o.Issuer, n.o.SID, max(n.policy.Idle, 0)
	if n.o.Device != nil {
		got.Device = n.o.Device.clean()
	}
	got.Remaining = n.policy.Absolute
	if got.Idle > 0 {
		got.Remaining = min(got.Remaining, got.Idle)
	}
	got.row = &row[T]{now: s.cfg.now, asked: asked, info: got.Info, current: true, untilDeadline: n.policy.Absolute}
	c.event(Event{Kind: EventCreated, ID: got.ID, User: got.User})
	return got, nil
}

// enterUser makes the row of a user who logs in for the first time. Users come before providers' sessions, as everywhere.
func (s *Store[T]) enterUser(ctx context.Context, db execer, login Login) error {
	if !login.rowless() {
		return nil
	}
	if _, err := db.Exec(ctx, s.sql.enterUser, login.user, login.gen); err != nil {
		return explain("begin session", err)
	}
	return nil
}

// authenticatedMicros is the age of an authentication as the statements take it: negative for none.
func authenticatedMicros(none bool, ago time.Duration) int64 {
	if none {
		return -1
	}
	return ago.Microseconds()
}

// makeRoom holds the user's row, so that logins of one user come one after the other, and ends the oldest sessions.
func (s *Store[T]) makeRoom(ctx context.Context, db writer, user string, c *changes) error {
	var gen int64
	if err := db.QueryRow(ctx, s.sql.lockUser, user).Scan(&gen); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrLoginEnded
		}
		return explain("create", err)
	}

	if s.cfg.RefuseOverLimit {
		var n int
		if err := db.QueryRow(ctx, s.sql.count, user).Scan(&n); err != nil {
			return explain("create", err)
		}
		if n >= s.cfg.MaxPerUser {
			return ErrLimit
		}
		return nil
	}

	n, err := s.endRows(ctx, db, c, ReasonLimit, s.sql.evict, user, s.cfg.MaxPerUser-1, string(ReasonLimit), actorOf(ctx))
	s.stats.revoked(ReasonLimit, n)
	return err
}
