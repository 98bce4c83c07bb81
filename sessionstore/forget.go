package sessionstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// ForgetUser deletes what is stored of a user, and ends all the user's sessions as RevokeUser does, logins under way
// included: for users who are gone for good. Somebody else may be given the same id later: no token from before opens
// anything of theirs. Sessions that were over before, and their rows, go within the hour.
func (s *Store[T]) ForgetUser(ctx context.Context, user string) (bus.Receipt, error) {
	return s.ending(ctx, ReasonForget, s.forgetUser(ctx, user))
}

// ForgetUserTx is ForgetUser in the caller's transaction, which the bus began.
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

		// The user's row first, as everywhere: whoever is about to make a session of the user waits, and finds it gone.
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

// RevokeAll ends all sessions there are, of users and of nobody, logins under way included: after a breach. It is one
// transaction that writes a row for each user and each session of nobody; a million take some ten seconds, and until it
// commits nothing has ended.
func (s *Store[T]) RevokeAll(ctx context.Context) (bus.Receipt, error) {
	revoke := s.revokeAll(ctx)
	return s.ending(ctx, ReasonAll, func(tx pgx.Tx, c *changes) (int, error) {
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil { // whatever the default is
			return 0, explain("revoke all", err)
		}
		return revoke(tx, c)
	})
}

// RevokeAllTx is RevokeAll in the caller's transaction, which the bus began. It has to be of READ COMMITTED: with an older
// snapshot it would not see who has logged in since, and is ErrInvalid.
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
