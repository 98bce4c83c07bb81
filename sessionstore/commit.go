package sessionstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// CommitOptions are for Commit; nil stands for an anonymous session as configured.
type CommitOptions struct {
	// MustExist stores nothing under a token that is not known: ErrNotFound. Set it wherever the framework can tell a new
	// session from one that it has read.
	MustExist bool
	// ID keeps the public id of a session that its holder has ended with Revoke, for frameworks that renew a token by
	// deleting the old session and storing a new one. Zero: a new id. It has no effect on a session that is there.
	ID uuid.UUID
	// Login, if not zero, is the user the session belongs to from now on.
	Login Login
	// Policy is for a new session.
	Policy Policy
	// Remaining, if positive, is how long from now the session lasts at most, whatever Policy and earlier calls say: for
	// frameworks that keep the deadline themselves.
	Remaining time.Duration
	// Device is for a new session.
	Device *Device
}

// Commit stores data under a token that somebody else has made, whether or not there is a session: the last writer wins.
// It is for adapters of frameworks that make their own tokens, of the same form: 256 random bits in base64url. A session
// that was ended, or has expired, stays as it is and the error says so; data that is the same counts as a use.
//
// Create and Update are better in every way where there is a choice. A token that is not known becomes that of a new
// session, so call it only with tokens that the framework has made itself, or has read from here; and do not use
// Rotate beside it, after which an old token is as unknown as any.
func (s *Store[T]) Commit(ctx context.Context, token string, data T, o *CommitOptions) (*Session[T], error) {
	var options CommitOptions
	if o != nil {
		options = *o
	}
	if options.Remaining < 0 || options.Remaining > maxAbsolute {
		return nil, fmt.Errorf("%w: Remaining: %v", ErrInvalid, options.Remaining)
	}
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, err
	}
	var got *Session[T]
	r, elapsed, err := s.find(ctx, &p)
	for try := 0; ; try++ {
		switch {
		case errors.Is(err, ErrNotFound) && !options.MustExist:
			got, err = s.enroll(ctx, &p, data, &options)
		case err == nil:
			got, err = s.overwrite(ctx, &p, r, elapsed, data, &options)
		}
		if !errors.Is(err, ErrConflict) || try >= s.cfg.MaxRetries {
			return got, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
		r, elapsed, err = s.findFresh(ctx, &p)
	}
}

// enroll stores a session that is not there yet; ErrConflict if it is.
func (s *Store[T]) enroll(ctx context.Context, p *present, data T, o *CommitOptions) (*Session[T], error) {
	n, err := s.newNewcomer(o.Login, data, &CreateOptions{Policy: o.Policy, Device: o.Device})
	if err != nil {
		return nil, err
	}
	n.secret = p.secret
	if o.ID != uuid.Nil {
		n.id, n.renewed = o.ID, true
	}
	if o.Remaining > 0 {
		n.policy.Absolute = max(o.Remaining, 10*time.Millisecond)
	}
	if err := s.seal(n); err != nil {
		return nil, err
	}
	_, got, err := s.create(ctx, n)
	if !errors.Is(err, ErrLoginEnded) {
		return got, err
	}
	if _, err := s.read(ctx, s.pool, p.key); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = ErrConflict // somebody was faster
		}
		return nil, err
	}
	if n.renewed && (o.Login.user == "" || s.loginStands(ctx, o.Login)) {
		return nil, ErrRevoked // the session whose id this is was ended by somebody else than its holder
	}
	return nil, ErrLoginEnded
}

func (s *Store[T]) loginStands(ctx context.Context, l Login) bool {
	now, err := s.BeginLogin(ctx, l.user)
	return err == nil && now.gen == l.gen
}

// overwrite replaces the data of a session, and what else the options say.
func (s *Store[T]) overwrite(
	ctx context.Context, p *present, r *row[T], elapsed time.Duration, data T, o *CommitOptions,
) (*Session[T], error) {
	encoded, err := s.encode(data)
	if err != nil {
		return nil, err
	}
	adopts := o.Login.user != "" && o.Login.user != r.info.User
	version, before, err := r.plain(&p.secret)
	same := err == nil && version == s.cfg.Codec.Version() && bytes.Equal(before, encoded)
	got := &Session[T]{Info: r.info, Data: data, Version: r.version, Replaced: !r.current, Remaining: r.remaining(elapsed), row: r, tag: r.tag}
	if same && !adopts && o.Remaining == 0 {
		s.used(ctx, r, elapsed)
		return got, nil
	}
	w, err := s.envelopeFor(p, r, r.version, encoded)
	if err != nil {
		return nil, err
	}
	_, err = s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		if !same {
			if err := s.write(ctx, tx, p, w, c); err != nil {
				return err
			}
		}
		if !adopts && o.Remaining == 0 {
			return nil
		}
		return s.adopt(ctx, tx, p, o, adopts, c)
	})
	if err != nil && outcomeUnknown(err) && !same && s.ours(ctx, p.key, w.lastWrite) {
		err = nil
	}
	if err != nil {
		return nil, explain("commit", err)
	}
	if !same {
		got.Version = w.version + 1
	}
	if adopts {
		got.User = o.Login.user
	}
	return got, nil
}

// adopt gives a session a user and another deadline.
func (s *Store[T]) adopt(ctx context.Context, tx pgx.Tx, p *present, o *CommitOptions, adopts bool, c *changes) error {
	var login Login
	if adopts {
		login = o.Login
		if login.gen == 0 {
			if _, err := tx.Exec(ctx, s.sql.enterUser, login.user); err != nil {
				return explain("commit", err)
			}
		}
	}
	var id string
	var found, prev []byte
	err := tx.QueryRow(ctx, s.sql.adopt, p.key[:], p.proof[:], login.user, login.gen, o.Remaining.Microseconds()).Scan(&id, &found, &prev)
	if errors.Is(err, pgx.ErrNoRows) {
		if err = s.whyNot(ctx, tx, p); errors.Is(err, ErrConflict) {
			return ErrLoginEnded
		}
		return err
	}
	if err != nil {
		return explain("commit", err)
	}
	c.session(keysOf(found, prev)...)
	c.end(id)
	return nil
}
