package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// RotateOptions say why and how a token is replaced. Nil means at once and without a login.
type RotateOptions struct {
	// Grace is for periodic rotation, see Periodic: the old token works until the new one is first used, and then for
	// Grace, for concurrent requests. A rotation of the old token in that time returns the same new token. Use zero
	// for a login or any change of privileges: the old token is then invalid at once. At most an hour.
	Grace time.Duration
	// IfOlder rotates only a token of at least this age, and returns a younger one unchanged. Zero rotates always.
	IfOlder time.Duration

	// Login, if not zero, makes the session one of the user who has just logged in. It may have been anonymous, of
	// another user, or of the same user. Its deadlines start again. It excludes Grace.
	Login Login
	// Policy, Issuer, SID, AuthenticatedAgo and Unauthenticated are those of CreateOptions, for use with Login.
	Policy           Policy
	Issuer, SID      string
	AuthenticatedAgo time.Duration
	Unauthenticated  bool
	// Device, if not nil, replaces the session's device.
	Device *Device
}

// Periodic returns the options for periodic rotation: it replaces tokens of at least the given age, with DefaultGrace
// for the old one.
func Periodic(age time.Duration) *RotateOptions {
	return &RotateOptions{Grace: DefaultGrace, IfOlder: age}
}

// Rotate replaces the token of a session, and with a Login also its user. The session keeps its id, its data and,
// without a Login, its deadline. Streams of Bind continue.
//
// With a Grace, concurrent requests may rotate one token, and a request may repeat a rotation whose response was
// lost: all get the same new token. The first Store.Get, Look or Touch with the new token shows that the client has
// it. So in the request that rotates, use the Session that Rotate returns.
//
// Without a Grace, ErrNotFound may mean that another request has just replaced this token.
func (s *Store[T]) Rotate(ctx context.Context, token string, o *RotateOptions) (newToken string, _ *Session[T], err error) {
	t, err := s.prepareRotate(token, o)
	if err != nil {
		return "", nil, err
	}

	// Most of the time there is nothing to do, and memory knows.
	r, elapsed, err := s.find(ctx, &t.p)
	if err != nil {
		return "", nil, err
	}
	if t.o.IfOlder > 0 && r.current && r.sinceRotated+elapsed < t.o.IfOlder {
		got, err := s.session(r, &t.p.secret, elapsed)
		return token, got, err
	}
	if t.o.Grace > 0 && !r.current {
		return s.succeed(ctx, t, r, elapsed, nil)
	}

	var out rotated[T]
	receipt, err := s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		out, err = s.rotate(ctx, tx, t, c)
		return err
	})
	if err != nil && outcomeUnknown(err) && out.got != nil {
		if k, _ := t.fresh.hash(); s.ours(ctx, k, t.lastWrite) {
			err = nil
		}
	}
	if err != nil {
		return "", nil, explain("rotate", err)
	}
	switch {
	case out.got != nil:
		out.got.receipt = receipt
		return s.sealer.format(&t.fresh), out.got, nil
	case out.young:
		got, err := s.session(out.row, &t.p.secret, out.row.elapsed())
		return token, got, err
	}
	return s.succeed(ctx, t, out.row, out.row.elapsed(), nil)
}

// RotateTx is Rotate in a transaction of the caller that the bus began. The new token is valid after the commit.
func (s *Store[T]) RotateTx(ctx context.Context, tx pgx.Tx, token string, o *RotateOptions) (newToken string, _ *Session[T], err error) {
	t, err := s.prepareRotate(token, o)
	if err != nil {
		return "", nil, err
	}

	var out rotated[T]
	err = s.joinTx(ctx, tx, func(tx pgx.Tx, c *changes) error {
		out, err = s.rotate(ctx, tx, t, c)
		return err
	})
	if err != nil {
		return "", nil, explain("rotate", err)
	}
	switch {
	case out.got != nil:
		return s.sealer.format(&t.fresh), out.got, nil
	case out.young:
		got, err := s.session(out.row, &t.p.secret, out.row.elapsed())
		return token, got, err
	}

	return s.succeed(ctx, t, out.row, out.row.elapsed(), tx)
}

// succeed returns the token that has followed the one given, and the one given if that is not known: it works as well.
// With a nil db it reads from memory.
func (s *Store[T]) succeed(ctx context.Context, t *rotation, r *row[T], elapsed time.Duration, db querier) (string, *Session[T], error) {
	next, known := r.successor(&t.p)
	if known {
		var now *row[T]
		var age time.Duration
		var err error
		if db == nil {
			now, age, err = s.find(ctx, &next)
		} else {
			now, err = s.readValid(ctx, db, &next)
		}
		if err == nil {
			got, err := s.session(now, &next.secret, age)
			return s.sealer.format(&next.secret), got, err
		}
		if !errors.Is(err, ErrNoSession) {
			return "", nil, err
		}
	}

	got, err := s.session(r, &t.p.secret, elapsed)
	return t.token, got, err
}

// rotation is one that is about to happen.
type rotation struct {
	token     string
	p         present
	fresh     secret
	salt      []byte // nil: the new token is random
	o         RotateOptions
	policy    Policy
	lastWrite uuid.UUID
}

// rotated is what became of one. Without a session there was nothing to do: the token is too young, or was replaced.
type rotated[T any] struct {
	got   *Session[T]
	row   *row[T]
	young bool
}

func (s *Store[T]) prepareRotate(token string, o *RotateOptions) (*rotation, error) {
	t := &rotation{token: token, lastWrite: uuid.New()}
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
	} else {
		switch {
		case t.o.Grace < 0 || t.o.Grace > time.Hour:
			return nil, fmt.Errorf("%w: Grace: %v is not between 0 and an hour", ErrInvalid, t.o.Grace)
		case t.o.Grace > 0 && t.o.Login.user != "":
			return nil, fmt.Errorf("%w: Grace: a login leaves none to the old token", ErrInvalid)
		case t.o.Login.user == "" && (t.o.SID != "" || t.o.Policy != Policy{} || t.o.AuthenticatedAgo != 0 || t.o.Unauthenticated):
			return nil, fmt.Errorf("%w: Policy, Issuer, SID, AuthenticatedAgo and Unauthenticated go with Login", ErrInvalid)
		case t.o.AuthenticatedAgo < 0 || t.o.AuthenticatedAgo > maxAbsolute:
			return nil, fmt.Errorf("%w: AuthenticatedAgo: %v", ErrInvalid, t.o.AuthenticatedAgo)
		}
	}

	if t.o.Grace > 0 {
		t.salt = newSalt()
		t.fresh = t.p.secret.successor(t.salt)
	} else {
		t.fresh = newSecret()
	}
	return t, nil
}

// rotate does it in a transaction. As everywhere, a user's lock is taken before those of sessions.
func (s *Store[T]) rotate(ctx context.Context, tx pgx.Tx, t *rotation, c *changes) (out rotated[T], err error) {
	user, from := t.o.Login.user, ""
	if user != "" {
		r, err := s.readValid(ctx, tx, &t.p)
		if err != nil {
			return out, err
		}
		if from = r.info.User; from != user {
			err = s.change(ctx, tx, from, t.o.Login, c)
		} else {
			err = s.enterUser(ctx, tx, t.o.Login)
		}
		if err != nil {
			return out, explain("rotate", err)
		}
	}
	if t.o.SID != "" {
		if _, err := tx.Exec(ctx, s.sql.lockSID, t.o.Issuer, t.o.SID, false); err != nil {
			return out, explain("rotate", err)
		}
	}

	// From here on no other transaction changes the row: neither its token nor the key of its data.
	r, err := s.readLocked(ctx, tx, &t.p)
	if err != nil {
		return out, err
	}
	if user != "" && r.info.User != from {
		return out, ErrConflict // another login was faster
	}
	if t.o.Grace > 0 && !r.current {
		return rotated[T]{row: r}, nil
	}
	if r.sinceRotated < t.o.IfOlder && r.current {
		return rotated[T]{row: r, young: true}, nil
	}

	var wrapped []byte
	if r.wrapped != nil {
		k, err := unwrap(r.wrapped, &t.p.secret, r.info.ID)
		if err != nil {
			return out, err
		}
		wrapped = k.wrap(&t.fresh, r.info.ID)
	}
	device := ""
	if t.o.Device != nil {
		device = t.o.Device.text()
	}
	first, second := t.fresh.hash()
	var id string
	var found, prev []byte
	err = tx.QueryRow(ctx, s.sql.rotate, t.p.key[:], t.p.proof[:], first[:], second[:], wrapped, t.o.Grace.Microseconds(), t.lastWrite.String(),
		user, t.o.Login.gen, t.policy.idleMicros(), t.policy.Absolute.Microseconds(),
		authenticatedMicros(t.o.Unauthenticated, t.o.AuthenticatedAgo), t.o.Issuer, t.o.SID, device, t.salt).Scan(&id, &found, &prev)
	if errors.Is(err, pgx.ErrNoRows) {
		err = s.whyNot(ctx, tx, &t.p)
		if errors.Is(err, ErrConflict) && user != "" {
			err = ErrLoginEnded
		}
		return out, err
	}
	if err != nil {
		return out, explain("rotate", err)
	}
	c.session(keysOf(found, prev)...)
	c.end(id)

	if r, err = s.read(ctx, tx, first); err != nil {
		return out, err
	}
	got, err := s.session(r, &t.fresh, 0)
	kind := EventRotated
	if user != "" {
		kind = EventLoggedIn
	}
	c.event(Event{Kind: kind, ID: r.info.ID, User: r.info.User})
	return rotated[T]{got: got}, err
}

// firstUse notes that the client has the new token of a rotation: from then on the old one goes on for no more than its
// grace. It is tried again by a later use if it fails.
func (s *Store[T]) firstUse(ctx context.Context, p *present, r *row[T], elapsed time.Duration) {
	const again = int64(time.Second)
	tried := r.confirmed.Load()
	if tried != 0 && int64(elapsed)-tried < again || !r.confirmed.CompareAndSwap(tried, max(int64(elapsed), 1)) {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), inlineTouch)
	defer cancel()

	_, err := s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		_, err := s.changeRows(ctx, tx, c, Event{}, s.sql.firstUse, p.key[:], p.proof[:])
		return err
	})
	if err != nil {
		s.log.DebugContext(ctx, "first use of a new token not noted", slog.Any("error", explain("rotate", err)))
	}
}
