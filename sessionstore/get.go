package sessionstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Get returns the session of a token, and counts as a use. From memory it takes well under a microsecond, without
// I/O.
//
// An error that is [ErrNoSession] means that there is no valid session, and says why. With [ErrUnavailable],
// [ErrBusy] and the error of ctx that is unknown.
func (s *Store[T]) Get(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, read{use: true})
}

// GetFresh is Get from the database, bypassing the memory, for actions that must not happen in a session that another
// pod ended a moment ago.
func (s *Store[T]) GetFresh(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, read{use: true, fresh: true})
}

// GetAfter is Get for read-your-writes: it does not miss a write that the client knows of, whichever pod made it.
// version is that of the session that the write returned; let the client send it, in a cookie beside the token. It
// reads the database only if the session in this pod's memory is older, and once for a version that was never
// written.
func (s *Store[T]) GetAfter(ctx context.Context, token string, version int64) (*Session[T], error) {
	return s.get(ctx, token, read{use: true, after: version})
}

// Look is Get without counting as a use, for requests that the browser makes by itself, such as polling.
func (s *Store[T]) Look(ctx context.Context, token string) (*Session[T], error) {
	return s.get(ctx, token, read{})
}

// Touch counts as a use, like Get, without decoding the data.
func (s *Store[T]) Touch(ctx context.Context, token string) error {
	_, _, _, err := s.row(ctx, token, read{use: true})
	return err
}

// read is how a session is asked for.
type read struct {
	use   bool  // it counts as one
	fresh bool  // whatever the memory holds
	after int64 // not an older version than this
}

func (s *Store[T]) get(ctx context.Context, token string, how read) (*Session[T], error) {
	p, r, elapsed, err := s.row(ctx, token, how)
	if err != nil {
		return nil, err
	}
	got, err := s.session(r, &p.secret, elapsed)
	if err != nil {
		s.stats.got(err)
		return nil, err
	}
	return got, nil
}

// row is the valid row of a token, and what has elapsed since it was read.
func (s *Store[T]) row(ctx context.Context, token string, how read) (p present, r *row[T], elapsed time.Duration, err error) {
	if p, err = s.present(token); err == nil {
		if how.fresh {
			r, elapsed, err = s.findFresh(ctx, &p)
		} else {
			r, elapsed, err = s.find(ctx, &p)
		}
		if err == nil && how.after > max(r.version, r.askedFor.Load()) {
			if r, elapsed, err = s.findFresh(ctx, &p); err == nil && r.version < how.after {
				r.askedFor.Store(how.after) // it is invented, or lost with the database's last moments
			}
		}
		if err == nil && how.use {
			s.used(ctx, r, elapsed)
		}
		if err == nil && r.current && r.unconfirmed {
			own := p // it goes to the heap; that of every other Get need not
			s.firstUse(ctx, &own, r, elapsed)
		}
	}

	s.stats.got(err)
	if err != nil {
		return p, nil, 0, err
	}

	return p, r, elapsed, nil
}

// GetTx returns the session of a token as a transaction of the caller sees it, bypassing the cache. It does not count
// as a use. Any transaction will do.
func (s *Store[T]) GetTx(ctx context.Context, tx pgx.Tx, token string) (*Session[T], error) {
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}
	r, err := s.readValid(ctx, tx, &p)
	if err != nil {
		return nil, err
	}
	return s.session(r, &p.secret, 0)
}

// readValid reads past all memory.
func (s *Store[T]) readValid(ctx context.Context, db querier, p *present) (*row[T], error) {
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, db, p.key)
	if err != nil {
		return nil, err
	}
	if _, err := s.judge(r, p); err != nil {
		return nil, err
	}
	return r, nil
}

// readLocked reads past all memory and keeps others from changing the row until the transaction ends.
func (s *Store[T]) readLocked(ctx context.Context, tx pgx.Tx, p *present) (*row[T], error) {
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, err
	}
	r, err := s.readBy(ctx, tx, s.sql.getLocked, p.key)
	if err != nil {
		return nil, err
	}
	if _, err := s.judge(r, p); err != nil {
		return nil, err
	}
	return r, nil
}

// whyNot is why a write found no row to change: what is wrong with the session, or else that it was changed.
func (s *Store[T]) whyNot(ctx context.Context, db querier, p *present) error {
	if _, err := s.readValid(ctx, db, p); err != nil {
		return err
	}
	return ErrConflict
}

// resultOf names the outcome of a Get for metrics.
func resultOf(err error) int {
	for i, r := range results {
		if r.err != nil && errors.Is(err, r.err) {
			return i
		}
	}
	if err == nil {
		return resultOK
	}
	return resultError
}
