package sessionstore

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Reason says why a session was ended, in the row and in metrics.
type Reason string

// The reasons.
const (
	ReasonLogout Reason = "logout" // by its own token
	ReasonDevice Reason = "device" // by its public id
	ReasonUser   Reason = "user"   // with all of the user's
	ReasonOthers Reason = "others" // with all but one of the user's
	ReasonSID    Reason = "sid"    // by the identity provider
	ReasonLimit  Reason = "limit"  // by a newer one, because of MaxPerUser
	ReasonForget Reason = "forget" // because the user was deleted
	ReasonAll    Reason = "all"    // with all sessions
)

var reasons = []Reason{ReasonLogout, ReasonDevice, ReasonUser, ReasonOthers, ReasonSID, ReasonLimit, ReasonForget, ReasonAll}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Revoke ends the session of a token (logout). A replaced token works, too. When Revoke returns the session has ended
// on this pod; on the others it ends when they apply the event, and on all of them when the bus's Confirm of the
// receipt has returned. Revoking it again is no error and returns a receipt, too. After an error that says that the
// outcome is unknown, call it again.
func (s *Store[T]) Revoke(ctx context.Context, token string) (bus.Receipt, error) {
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	if err := s.known(ctx, &p); err != nil {
		return bus.Receipt{}, err
	}
	return s.ending(ctx, ReasonLogout, s.revoke(ctx, &p))
}

// RevokeTx is Revoke in a transaction of the caller that the bus began. The receipt is that of the transaction.
func (s *Store[T]) RevokeTx(ctx context.Context, tx pgx.Tx, token string) error {
	p, err := s.present(token)
	if err != nil {
		return err
	}
	return s.endingTx(ctx, tx, ReasonLogout, s.revoke(ctx, &p))
}

func (s *Store[T]) revoke(ctx context.Context, p *present) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		if err := s.sealer.check(&p.secret, p.sealed); err != nil {
			return 0, err
		}

		n, err := s.endRows(ctx, tx, c, ReasonLogout, s.sql.revoke, p.key[:], p.proof[:], string(ReasonLogout), actorOf(ctx))
		if err != nil || n > 0 {
			return n, err
		}

		// Over already: published again, so that the receipt covers it.
		r, err := s.read(ctx, tx, p.key)
		if err != nil {
			return 0, err
		}
		if !p.proof.equal(r.proof) {
			return 0, ErrNotFound
		}

		c.session(r.keys()...)
		c.end(r.info.ID.String())
		return 0, nil
	}
}

// RevokeByID ends a session of a user by its public id, for pages that list a user's devices. The user must match, so
// that no user can end a session of another by guessing; an empty user means anonymous sessions. ErrNotFound means
// that the user has no such session, or that it has ended already.
func (s *Store[T]) RevokeByID(ctx context.Context, user string, id uuid.UUID) (bus.Receipt, error) {
	return s.ending(ctx, ReasonDevice, s.revokeByID(ctx, user, id))
}

// RevokeByIDTx is RevokeByID in a transaction of the caller that the bus began.
func (s *Store[T]) RevokeByIDTx(ctx context.Context, tx pgx.Tx, user string, id uuid.UUID) error {
	return s.endingTx(ctx, tx, ReasonDevice, s.revokeByID(ctx, user, id))
}

func (s *Store[T]) revokeByID(ctx context.Context, user string, id uuid.UUID) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		if err := checkOwner(user); err != nil {
			return 0, err
		}

		args := []any{id.String(), user, string(ReasonDevice), string(ReasonLogout), actorOf(ctx)}
		n, err := s.endRows(ctx, tx, c, ReasonDevice, s.sql.revokeID, args...)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, ErrNotFound
		}

		// Once more, and seeing what the first has waited for: a framework may have renewed the session meanwhile.
		_, err = s.endRows(ctx, tx, c, ReasonDevice, s.sql.revokeID, args...)
		return n, err
	}
}

// RevokeUser ends all sessions of a user, including logins that have begun: for a new password, a user who was
// disabled or deleted, "log out everywhere". It is one small write, however many sessions there are. Use RevokeUserTx
// in the transaction that changes the password.
func (s *Store[T]) RevokeUser(ctx context.Context, user string) (bus.Receipt, error) {
	return s.ending(ctx, ReasonUser, s.revokeUser(ctx, user))
}

// RevokeUserTx is RevokeUser in a transaction of the caller that the bus began.
func (s *Store[T]) RevokeUserTx(ctx context.Context, tx pgx.Tx, user string) error {
	return s.endingTx(ctx, tx, ReasonUser, s.revokeUser(ctx, user))
}

func (s *Store[T]) revokeUser(ctx context.Context, user string) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		if err := checkUser(user); err != nil {
			return 0, err
		}
		var tag string
		if err := tx.QueryRow(ctx, s.sql.revokeUser, user, actorOf(ctx)).Scan(&tag); err != nil {
			return 0, explain("revoke user", err)
		}
		c.user(tag)
		c.event(Event{Kind: EventRevoked, User: user, Reason: ReasonUser})
		return 1, nil
	}
}

// RevokeUserExcept ends all sessions of a user except that of the token, for a new password that is set in that
// session. If the session is not valid, or is ended at the same time, nothing happens and the error says so.
func (s *Store[T]) RevokeUserExcept(ctx context.Context, token string) (bus.Receipt, error) {
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	if err := s.known(ctx, &p); err != nil {
		return bus.Receipt{}, err
	}
	return s.ending(ctx, ReasonOthers, s.revokeOthers(ctx, &p))
}

// RevokeUserExceptTx is RevokeUserExcept in a transaction of the caller that the bus began. After an error roll it
// back.
func (s *Store[T]) RevokeUserExceptTx(ctx context.Context, tx pgx.Tx, token string) error {
	p, err := s.present(token)
	if err != nil {
		return err
	}
	return s.endingTx(ctx, tx, ReasonOthers, s.revokeOthers(ctx, &p))
}

func (s *Store[T]) revokeOthers(ctx context.Context, p *present) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		var tag, user, kept string
		var moved bool
		err := tx.QueryRow(ctx, s.sql.revokeOthers, p.key[:], p.proof[:], actorOf(ctx)).Scan(&tag, &moved, &user, &kept)
		if err == nil {
			c.user(tag)
		}

		switch {
		case errors.Is(err, pgx.ErrNoRows):
			if r, err := s.readValid(ctx, tx, p); err != nil {
				return 0, err
			} else if r.info.User == "" {
				return 0, nil // an anonymous session has no others
			}
			return 0, ErrConflict
		case err != nil:
			return 0, explain("revoke others", err)
		case !moved:
			return 0, ErrRevoked
		}

		c.event(Event{Kind: EventRevoked, User: user, Reason: ReasonOthers})
		return 1, nil
	}
}

// RevokeBySID ends the sessions that belong to a session at an identity provider, including logins with this sid that
// have begun (OpenID Connect Back-Channel Logout). It is no error if there are none.
func (s *Store[T]) RevokeBySID(ctx context.Context, issuer, sid string) (bus.Receipt, error) {
	return s.ending(ctx, ReasonSID, s.revokeBySID(ctx, issuer, sid))
}

// RevokeBySIDTx is RevokeBySID in a transaction of the caller that the bus began.
func (s *Store[T]) RevokeBySIDTx(ctx context.Context, tx pgx.Tx, issuer, sid string) error {
	return s.endingTx(ctx, tx, ReasonSID, s.revokeBySID(ctx, issuer, sid))
}

func (s *Store[T]) revokeBySID(ctx context.Context, issuer, sid string) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		if err := checkSID(issuer, sid); err != nil {
			return 0, err
		}
		if sid == "" {
			return 0, ErrInvalid
		}
		if _, err := tx.Exec(ctx, s.sql.lockSID, issuer, sid, true); err != nil {
			return 0, explain("revoke by sid", err)
		}
		if _, err := tx.Exec(ctx, s.sql.logoutSID, issuer, sid); err != nil {
			return 0, explain("revoke by sid", err)
		}

		return s.endRows(ctx, tx, c, ReasonSID, s.sql.revokeSID, issuer, sid, string(ReasonSID), actorOf(ctx))
	}
}

// endRows runs a statement that ends sessions, notes which, and says so.
func (s *Store[T]) endRows(ctx context.Context, db querier, c *changes, why Reason, sql string, args ...any) (n int, err error) {
	return s.changeRows(ctx, db, c, Event{Kind: EventRevoked, Reason: why}, sql, args...)
}

// changeRows runs a statement that changes sessions and returns id, both keys and user of each. An event without a kind is
// not reported.
func (s *Store[T]) changeRows(ctx context.Context, db querier, c *changes, e Event, sql string, args ...any) (n int, err error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return 0, explain("write", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var found, prev []byte
		if err := rows.Scan(&id, &found, &prev, &e.User); err != nil {
			return n, explain("write", err)
		}
		c.session(keysOf(found, prev)...)
		c.end(id)
		if e.Kind != "" {
			if e.ID, err = uuid.Parse(id); err != nil {
				return n, explain("write", err)
			}
			c.event(e)
		}
		n++
	}

	return n, explain("write", rows.Err())
}

func (s *Store[T]) ending(ctx context.Context, why Reason, do func(pgx.Tx, *changes) (int, error)) (bus.Receipt, error) {
	var n int
	receipt, err := s.inTx(ctx, func(tx pgx.Tx, c *changes) (err error) {
		n, err = do(tx, c)
		return err
	})
	if err != nil {
		return receipt, explain("revoke", err)
	}
	s.stats.revoked(why, n)
	return receipt, nil
}

func (s *Store[T]) endingTx(ctx context.Context, tx pgx.Tx, why Reason, do func(pgx.Tx, *changes) (int, error)) error {
	var n int
	err := s.joinTx(ctx, tx, func(tx pgx.Tx, c *changes) (err error) {
		n, err = do(tx, c)
		return err
	})
	if err == nil {
		s.stats.revoked(why, n)
	}
	return explain("revoke", err)
}
