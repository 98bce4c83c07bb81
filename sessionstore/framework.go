package sessionstore

import (
	"context"
	"embed"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// The statements that only adapters of other frameworks need.
//
//go:embed framework/*.sql
var frameworkFiles embed.FS

func (s *Store[T]) frameworkSQL(name string) string {
	return sqltext.Load(frameworkFiles, "framework/"+name+".sql", s.cfg.Schema)
}

// End is Revoke for adapters of frameworks that renew a token by ending the old session and storing a new one. The first
// End leaves the session renewable; one more means a logout that has met a renewal, and then the logout wins: whatever
// continues the session is ended, and nothing can continue it any more.
func (s *Store[T]) End(ctx context.Context, token string) (bus.Receipt, error) {
	p, err := s.present(token)
	if err != nil {
		return bus.Receipt{}, err
	}
	revoke := s.revoke(ctx, &p)
	return s.ending(ctx, ReasonLogout, func(tx pgx.Tx, c *changes) (int, error) {
		n, err := revoke(tx, c)
		if err != nil || n > 0 {
			return n, err
		}
		r, err := s.read(ctx, tx, p.key)
		if err != nil {
			return 0, err
		}
		n, err = s.revokeByID(ctx, r.info.User, r.info.ID)(tx, c)
		if errors.Is(err, ErrNotFound) {
			return 0, nil
		}
		return n, err
	})
}

// Renewal is what a session that was ended by its holder leaves to the one that continues it.
type Renewal struct {
	Login     Login         // its user, and the generation it belonged to; zero: nobody had logged in
	Remaining time.Duration // to its deadline
}

// Renewal tells what the continuation of a session may have, for Commit with the same ID. ErrRevoked: nothing continues
// it, because somebody else has ended it, or its holder twice; or it is not over.
func (s *Store[T]) Renewal(ctx context.Context, id uuid.UUID) (Renewal, error) {
	var r Renewal
	var remaining int64
	err := s.pool.QueryRow(ctx, s.frameworkSQL("renewal"), id.String(), string(ReasonLogout)).Scan(&r.Login.user, &r.Login.gen, &remaining)
	if errors.Is(err, pgx.ErrNoRows) {
		return Renewal{}, ErrRevoked
	}
	if err != nil {
		return Renewal{}, explain("renewal", err)
	}
	if r.Login.user == "" {
		r.Login = Login{}
	}
	r.Remaining = micros(remaining)
	return r, nil
}

// Each calls fn with every valid session whose data can be read without its token, in no particular order: data that is
// encrypted or that the codec does not know is left out. It holds a connection until it is done; an error of fn ends it.
func (s *Store[T]) Each(ctx context.Context, fn func(*Session[T]) error) error {
	asked := s.cfg.now()
	rows, err := s.pool.Query(ctx, s.frameworkSQL("each"))
	if err != nil {
		return explain("each", err)
	}
	defer rows.Close()
	for rows.Next() {
		r := &row[T]{now: s.cfg.now, asked: asked, current: true}
		var deadline, seen int64
		if err := r.info.scan(rows, &r.version, &r.data, &deadline, &seen); err != nil {
			return explain("each", err)
		}
		r.untilDeadline, r.sinceSeen = micros(deadline), micros(seen)
		if len(r.data) > 0 && r.data[0] == envelopeSealed {
			continue
		}
		got, err := s.session(r, nil, r.elapsed())
		if errors.Is(err, ErrUnreadable) {
			continue
		}
		if err != nil {
			return err
		}
		if err := fn(got); err != nil {
			return err
		}
	}
	return explain("each", rows.Err())
}

// UntilDeadline is how long the session can last from now, however much it is used; zero for a session that no store
// returned. Unlike ExpiresAt it does not depend on how this machine's clock is set.
func (s *Session[T]) UntilDeadline() time.Duration {
	if s.row == nil {
		return 0
	}
	return max(s.row.untilDeadline-s.row.elapsed(), 0)
}
