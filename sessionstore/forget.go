package sessionstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// ForgetUser deletes the stored state of a deleted user, and ends all sessions of the user as RevokeUser does,
// including logins that have begun. If the id is assigned to another user later, no earlier token opens anything of
// that user. Rows of sessions that ended before are deleted within the hour.
func (s *Store[T]) ForgetUser(ctx context.Context, user string) (bus.Receipt, error) {
	return s.ending(ctx, ReasonForget, s.forgetUser(ctx, user))
}

// ForgetUserTx is ForgetUser in a transaction of the caller that the bus began.
func (s *Store[T]) ForgetUserTx(ctx context.Context, tx pgx.Tx, user string) error {
	return s.endingTx(ctx, tx, ReasonForget, s.forgetUser(ctx, user))
}

func (s *Store[T]) forgetUser(ctx context.Context, user string) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		if err := checkUser(user); err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, s.sql.lockLogin, user); err != nil {
			return 0, explain("forget user", err)
		}

		// The user's row first, as everywhere: a login that is about to make a session of the user waits, and finds it gone.
		if _, err := tx.Exec(ctx, s.sql.forgetAbsent, user); err != nil {
			return 0, explain("forget user", err)
		}
		var tag string
		err := tx.QueryRow(ctx, s.sql.forgetUser, user).Scan(&tag)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return 0, explain("forget user", err)
		}
		if err == nil {
			c.user(tag)
		}

		n, err := s.changeRows(ctx, tx, c, Event{}, s.sql.forgetSessions, user)
		c.event(Event{Kind: EventRevoked, User: user, Reason: ReasonForget})
		return n, err
	}
}

// RevokeAll ends all sessions, with and without users, and logins that have begun: after a breach. It is one
// transaction that writes a row per user and per anonymous session. A million take about ten seconds, and none has
// ended before it commits.
func (s *Store[T]) RevokeAll(ctx context.Context) (bus.Receipt, error) {
	revoke := s.revokeAll(ctx)
	return s.ending(ctx, ReasonAll, func(tx pgx.Tx, c *changes) (int, error) {
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil { // whatever the default is
			return 0, explain("revoke all", err)
		}
		return revoke(tx, c)
	})
}

// RevokeAllTx is RevokeAll in a transaction of the caller that the bus began. It must be READ COMMITTED, or
// RevokeAllTx returns ErrInvalid: an older snapshot would miss recent logins.
func (s *Store[T]) RevokeAllTx(ctx context.Context, tx pgx.Tx) error {
	return s.endingTx(ctx, tx, ReasonAll, s.revokeAll(ctx))
}

func (s *Store[T]) revokeAll(ctx context.Context) func(pgx.Tx, *changes) (int, error) {
	return func(tx pgx.Tx, c *changes) (int, error) {
		var isolation string
		if err := tx.QueryRow(ctx, s.sql.lockLogin, "").Scan(nil, &isolation); err != nil {
			return 0, explain("revoke all", err)
		}
		if isolation != string(pgx.ReadCommitted) {
			return 0, fmt.Errorf("%w: RevokeAllTx in a transaction of %s", ErrInvalid, isolation)
		}
		if _, err := tx.Exec(ctx, s.sql.revokeAllFloor); err != nil {
			return 0, explain("revoke all", err)
		}
		if _, err := tx.Exec(ctx, s.sql.revokeAllUsers, actorOf(ctx)); err != nil {
			return 0, explain("revoke all", err)
		}
		if _, err := tx.Exec(ctx, s.sql.revokeAllOthers, string(ReasonAll), actorOf(ctx)); err != nil {
			return 0, explain("revoke all", err)
		}

		c.all = true
		c.event(Event{Kind: EventRevoked, Reason: ReasonAll})
		return 1, nil
	}
}
