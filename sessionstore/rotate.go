package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// RotateOptions say why and how a token is replaced; nil means at once and without a login.
type RotateOptions struct {
	// Grace is for how long the old token goes on working, for requests that are under way: for periodic rotation, see
	// Periodic. Zero, for a login or any change of privileges: the old one is dead at once, whoever may have it.
	Grace time.Duration
	// IfOlder rotates only a token of at least this age, and else returns the one given. Zero: always.
	IfOlder time.Duration

	// Login, if it is not zero, makes the session that of the user who has just logged in: one that was anonymous, or of
	// another user, or the same one once more. Its deadlines begin anew. It cannot have Grace.
	Login Login
	// Policy, Issuer, SID and AuthenticatedAgo are those of CreateOptions and go with Login.
	Policy           Policy
	Issuer, SID      string
	AuthenticatedAgo time.Duration
	// Device, if not nil, replaces what lists show.
	Device *Device
}

// Periodic are the options for replacing a token now and then: those of at least an age, with DefaultGrace for the old one.
func Periodic(age time.Duration) *RotateOptions {
	return &RotateOptions{Grace: DefaultGrace, IfOlder: age}
}

// Rotate gives a session a new token, and with a Login a new user. The session keeps its id, its data and, without a
// Login, its deadline. Streams of Bind go on. ErrConflict: another request has just replaced this token; its answer brings
// the client the new one.
func (s *Store[T]) Rotate(ctx context.Context, token string, o *RotateOptions) (newToken string, _ *Session[T], err error) {
	t, err := s.prepareRotate(token, o)
	if err != nil {
		return "", nil, err
	}
	if t.o.IfOlder > 0 {
		// Most of the time it is too young, and memory knows.
		r, elapsed, err := s.find(ctx, &t.p)
		if err != nil {
			return "", nil, err
		}
		if r.sinceRotated+elapsed < t.o.IfOlder || !r.current {
			got, err := s.session(r, &t.p.secret, elapsed)
			return token, got, err
		}
	}
	var got *Session[T]
	_, err = s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		got, err = s.rotate(ctx, tx, t, c)
		return err
	})
	if err != nil && outcomeUnknown(err) && got != nil {
		if k, _ := t.fresh.hash(); s.ours(ctx, k, t.lastWrite) {
			err = nil
		}
	}
	if err != nil {
		return "", nil, explain("rotate", err)
	}
	return s.sealer.format(&t.fresh), got, nil
}

// RotateTx is Rotate in the caller's transaction, which the bus began; the new token is good once that has committed.
func (s *Store[T]) RotateTx(ctx context.Context, tx pgx.Tx, token string, o *RotateOptions) (newToken string, _ *Session[T], err error) {
	t, err := s.prepareRotate(token, o)
	if err != nil {
		return "", nil, err
	}
	var got *Session[T]
	err = s.joinTx(tx, func(tx pgx.Tx, c *changes) error {
		got, err = s.rotate(ctx, tx, t, c)
		return err
	})
	if err != nil {
		return "", nil, explain("rotate", err)
	}
	return s.sealer.format(&t.fresh), got, nil
}

// rotation is one that is about to happen.
type rotation struct {
	p         present
	fresh     secret
	o         RotateOptions
	policy    Policy
	lastWrite uuid.UUID
}

func (s *Store[T]) prepareRotate(token string, o *RotateOptions) (*rotation, error) {
	t := &rotation{fresh: newSecret(), lastWrite: uuid.New()}
	if o != nil {
		t.o = *o
	}
	var err error
	if t.p, err = s.present(token); err != nil {
		return nil, err
	}
	t.policy = t.o.Policy.or(s.cfg.Policy)
	if err := t.policy.check(); err != nil {
		return nil, fmt.Errorf("%w: Policy: %w", ErrInvalid, err)
	}
	if err := checkSID(t.o.Issuer, t.o.SID); err != nil {
		return nil, err
	}
	if s.weak.Graceful {
		t.o.Grace = time.Hour
		return t, nil
	}
	switch {
	case t.o.Grace < 0 || t.o.Grace > time.Hour:
		return nil, fmt.Errorf("%w: Grace: %v is not between 0 and an hour", ErrInvalid, t.o.Grace)
	case t.o.Grace > 0 && t.o.Login.user != "":
		return nil, fmt.Errorf("%w: Grace: a login leaves none to the old token", ErrInvalid)
	case t.o.Login.user == "" && (t.o.SID != "" || t.o.Policy != Policy{} || t.o.AuthenticatedAgo != 0):
		return nil, fmt.Errorf("%w: Policy, Issuer, SID and AuthenticatedAgo go with Login", ErrInvalid)
	case t.o.AuthenticatedAgo < 0 || t.o.AuthenticatedAgo > maxAbsolute:
		return nil, fmt.Errorf("%w: AuthenticatedAgo: %v", ErrInvalid, t.o.AuthenticatedAgo)
	}
	return t, nil
}

func (s *Store[T]) rotate(ctx context.Context, tx pgx.Tx, t *rotation, c *changes) (*Session[T], error) {
	user := t.o.Login.user
	if user != "" && t.o.Login.gen == 0 {
		if _, err := tx.Exec(ctx, s.sql.enterUser, user); err != nil {
			return nil, explain("rotate", err)
		}
	}
	if t.o.SID != "" {
		if _, err := tx.Exec(ctx, s.sql.lockSID, t.o.Issuer, t.o.SID, false); err != nil {
			return nil, explain("rotate", err)
		}
	}
	r, err := s.readValid(ctx, tx, &t.p)
	if err != nil {
		return nil, err
	}
	if !r.current {
		return nil, ErrConflict
	}
	if user != "" && user != r.info.User && s.cfg.MaxPerUser > 0 {
		if err := s.makeRoom(ctx, tx, user, c); err != nil {
			return nil, err
		}
	}
	var wrapped []byte
	if r.wrapped != nil {
		k, err := unwrap(r.wrapped, &t.p.secret, r.info.ID)
		if err != nil {
			return nil, err
		}
		wrapped = k.wrap(&t.fresh, r.info.ID)
	}
	device := ""
	if t.o.Device != nil {
		device = t.o.Device.text()
	}
	first, second := t.fresh.hash()
	var id string
	var prev []byte
	err = tx.QueryRow(ctx, s.sql.rotate, t.p.key[:], t.p.proof[:], first[:], second[:], wrapped, t.o.Grace.Microseconds(), t.lastWrite.String(),
		user, t.o.Login.gen, t.policy.idleMicros(), t.policy.Absolute.Microseconds(), t.o.AuthenticatedAgo.Microseconds(),
		t.o.Issuer, t.o.SID, device).Scan(&id, &prev)
	if errors.Is(err, pgx.ErrNoRows) {
		err = s.whyNot(ctx, tx, &t.p)
		if errors.Is(err, ErrConflict) && user != "" {
			err = ErrLoginEnded
		}
		return nil, err
	}
	if err != nil {
		return nil, explain("rotate", err)
	}
	c.session(keysOf(t.p.key[:], prev)...)
	c.end(id)
	if r, err = s.read(ctx, tx, first); err != nil {
		return nil, err
	}
	return s.session(r, &t.fresh, 0)
}
