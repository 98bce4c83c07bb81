package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/door"
)

type commitOptions[T any] = door.CommitOptions[T, Login, Policy, Device]

// Commit stores data under a token that the framework has made, whether or not there is a session. It is for adapters of
// frameworks that make their own tokens, of the same form: 256 random bits in base64url. A session that was ended, or has
// expired, stays as it is and the error says so. Data that is the same as what the database holds counts as a use.
//
// Create and Update are better in every way where there is a choice. A token that is not known becomes that of a new
// session, so call it only with tokens that the framework has made itself, or has read from here. After Rotate an old
// token is as unknown as any.
func (a *adapter[T]) Commit(ctx context.Context, token string, data T, o *commitOptions[T]) (*Session[T], error) {
	s := a.s
	var options commitOptions[T]
	if o != nil {
		options = *o
	}
	if options.Remaining < 0 || options.Remaining > maxAbsolute {
		return nil, fmt.Errorf("%w: Remaining: %v", ErrInvalid, options.Remaining)
	}
	if options.Logout && options.Login.user != "" {
		return nil, fmt.Errorf("%w: Logout excludes Login", ErrInvalid)
	}
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, err
	}

	r, elapsed, err := s.find(ctx, &p)
	for try, fresh := 0, false; ; try++ {
		var got *Session[T]
		switch {
		case errors.Is(err, ErrNotFound) && !options.MustExist:
			got, err = s.enroll(ctx, &p, data, &options)
		case err == nil:
			got, err = s.overwrite(ctx, &p, r, elapsed, fresh, data, &options)
		}
		if !errors.Is(err, ErrConflict) || try >= s.cfg.MaxRetries {
			return got, unwrapped(err)
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
		r, elapsed, err = s.findFresh(ctx, &p)
		fresh = true
	}
}

// enroll stores a session that is not there yet; ErrConflict if it is.
func (s *Store[T]) enroll(ctx context.Context, p *present, data T, o *commitOptions[T]) (*Session[T], error) {
	n, err := s.newNewcomer(o.Login, data, &CreateOptions{
		Policy: o.Policy, Device: o.Device, Unauthenticated: !o.Authenticated, Issuer: o.Issuer, SID: o.SID,
	})
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
			err = ErrConflict // another request was faster
		}
		return nil, err
	}
	if n.renewed && (o.Login.user == "" || s.loginStands(ctx, o.Login)) {
		return nil, ErrRevoked // the session whose id this is was ended otherwise than by its holder
	}
	return nil, ErrLoginEnded
}

func (s *Store[T]) loginStands(ctx context.Context, l Login) bool {
	var stands bool
	err := s.pool.QueryRow(ctx, s.sql.loginStands, l.user, l.gen).Scan(&stands)
	return err == nil && stands
}

// overwrite replaces the data of a session, and what else the options say. What was read from memory may be behind: only
// a version that the database confirms is written over, or found to need no write.
func (s *Store[T]) overwrite(
	ctx context.Context, p *present, r *row[T], elapsed time.Duration, fresh bool, data T, o *commitOptions[T],
) (*Session[T], error) {
	if o.Merge != nil {
		now, err := s.decode(r, &p.secret)
		if err != nil {
			return nil, err
		}
		if data, err = o.Merge(now); err != nil {
			return nil, applicationError{err}
		}
	}
	encoded, err := s.encode(data)
	if err != nil {
		return nil, err
	}

	adopts := o.Login.user != "" && (o.Login.user != r.info.User || o.Authenticated)
	leaves := o.Logout && r.info.User != ""
	if !adopts && !leaves && o.Remaining == 0 && s.holds(r, &p.secret, encoded) {
		if !fresh {
			var now *row[T]
			if now, elapsed, err = s.findFresh(ctx, p); err != nil {
				return nil, err
			}
			if now.version != r.version || now.info.User != r.info.User {
				return nil, ErrConflict
			}
			r = now
		}
		s.used(ctx, r, elapsed)
		return s.result(r, data, elapsed), nil
	}

	// The data is written even if it is the same: its version covers everything that pods have in memory.
	w, err := s.envelopeFor(p, r, r.version, encoded)
	if err != nil {
		return nil, err
	}
	got := s.result(r, data, elapsed)
	got.receipt, err = s.inTx(ctx, func(tx pgx.Tx, c *changes) error {
		switch {
		case adopts && o.Login.user != r.info.User:
			if err := s.change(ctx, tx, r.info.User, o.Login, c); err != nil {
				return err
			}
		case leaves:
			if err := s.hold(ctx, tx, r.info.User); err != nil {
				return err
			}
		}
		if err := s.write(ctx, tx, p, w, c); err != nil {
			return err
		}
		if !adopts && !leaves && o.Remaining == 0 {
			return nil
		}
		return s.adopt(ctx, tx, p, o, adopts, leaves, c)
	})
	if err != nil && outcomeUnknown(err) && s.ours(ctx, p.key, w.lastWrite) {
		err = nil
	}
	if err != nil {
		return nil, explain("commit", err)
	}
	got.Version = w.version + 1
	switch {
	case adopts:
		got.User = o.Login.user
	case leaves:
		got.User = ""
	}
	return got, nil
}

// enter makes the row of a user who logs in for the first time, and room for one more session of the user.
func (s *Store[T]) enter(ctx context.Context, db writer, login Login, c *changes) error {
	if err := s.enterUser(ctx, db, login); err != nil {
		return err
	}
	if s.cfg.MaxPerUser > 0 {
		return s.makeRoom(ctx, db, login.user, c)
	}
	return nil
}

// change prepares that a session of one user becomes another's. Users are locked in the order of their ids.
func (s *Store[T]) change(ctx context.Context, db writer, from string, login Login, c *changes) error {
	if from < login.user {
		if err := s.hold(ctx, db, from); err != nil {
			return err
		}
	}
	if err := s.enter(ctx, db, login, c); err != nil {
		return err
	}
	if from > login.user {
		return s.hold(ctx, db, from)
	}
	return nil
}

// hold keeps the sessions of a user from being ended until the transaction does.
func (s *Store[T]) hold(ctx context.Context, db execer, user string) error {
	if user == "" {
		return nil
	}
	_, err := db.Exec(ctx, s.sql.holdUser, user)
	return explain("hold user", err)
}

// adopt gives a session a user, or takes the user away, and another deadline.
func (s *Store[T]) adopt(ctx context.Context, tx pgx.Tx, p *present, o *commitOptions[T], adopts, leaves bool, c *changes) error {
	var login Login
	if adopts {
		login = o.Login
	}

	if adopts && o.SID != "" {
		if _, err := tx.Exec(ctx, s.sql.lockSID, o.Issuer, o.SID, false); err != nil {
			return explain("commit", err)
		}
	}

	var id string
	var found, prev []byte
	err := tx.QueryRow(ctx, s.sql.adopt, p.key[:], p.proof[:], login.user, login.gen, o.Remaining.Microseconds(),
		authenticatedMicros(!o.Authenticated, 0), leaves, o.Issuer, o.SID).Scan(&id, &found, &prev)
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
	if adopts {
		e := Event{Kind: EventLoggedIn, User: login.user}
		e.ID, err = uuid.Parse(id)
		c.event(e)
	}

	return err
}
