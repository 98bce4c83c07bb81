package sessionstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// row is a session as the database had it, with the moment before it was asked: remaining times count from there by this
// process' clock, so no two machines' clocks are ever compared. Rows in the cache are shared and never change, but for
// the atomics.
type row[T any] struct {
	now   func() time.Time
	asked time.Time

	key     key
	prevKey *key   // whose grace may not be over
	current bool   // found by the current token and not by the one before
	proof   []byte // of the token by which it was found
	wrapped []byte // the data's key for the holder of the token by which it was found; nil: data is plain

	info      Info
	tag       string // of the user; empty: no user
	version   int64
	data      []byte // an envelope
	lastWrite string
	revoked   bool

	currentProof []byte
	nextSalt     []byte // from which and the token before the current one was derived; nil: it was not
	unconfirmed  bool   // the current token was not used yet, so the one before goes on

	// As of asked.
	untilDeadline time.Duration
	sinceSeen     time.Duration
	sinceRotated  time.Duration
	grace         time.Duration // left of the old token's; not positive: there is none

	decoded atomic.Pointer[T]
	// In nanoseconds after asked; 0: not yet.
	touched   atomic.Int64 // when a use was last noted here
	confirmed atomic.Int64 // when the first use of the current token was last tried to be noted

	reported atomic.Bool  // that a token was used whose grace is over
	askedFor atomic.Int64 // the highest version that GetAfter has asked the database for in vain
}

// querier is what statements need: a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// read reads the row of a key. Callers bound how many do at once.
func (s *Store[T]) read(ctx context.Context, db querier, k key) (*row[T], error) {
	return s.readBy(ctx, db, s.sql.get, k)
}

// readBy reads with one of the two statements that return a whole row.
func (s *Store[T]) readBy(ctx context.Context, db querier, sql string, k key) (*row[T], error) {
	r := &row[T]{now: s.cfg.now, asked: s.cfg.now()}
	var found, prev, device []byte
	var id string
	var authenticated *time.Time
	var idle, deadline, seen, rotated, grace int64
	err := db.QueryRow(ctx, sql, k[:]).Scan(&r.current, &found, &prev, &r.proof, &r.wrapped,
		&id, &r.info.User, &r.tag, &r.version, &r.data, &device, &r.info.Issuer, &r.info.SID,
		&r.info.CreatedAt, &authenticated, &r.info.RotatedAt, &r.info.LastSeen, &r.info.ExpiresAt, &r.info.LastAddress,
		&idle, &deadline, &seen, &rotated, &grace, &r.revoked, &r.lastWrite,
		&r.currentProof, &r.nextSalt, &r.unconfirmed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, explain("get", err)
	}
	if r.info.ID, err = uuid.Parse(id); err != nil {
		return nil, fmt.Errorf("sessionstore: get: %w", err)
	}

	r.info.CreatedAt, r.info.RotatedAt = r.info.CreatedAt.UTC(), r.info.RotatedAt.UTC()
	r.info.LastSeen, r.info.ExpiresAt = r.info.LastSeen.UTC(), r.info.ExpiresAt.UTC()
	r.key = key(found)
	if prev != nil {
		p := key(prev)
		r.prevKey = &p
	}

	if authenticated != nil {
		r.info.AuthenticatedAt = authenticated.UTC()
	}
	r.info.Device = parseDevice(device)
	r.info.Idle, r.untilDeadline = micros(idle), micros(deadline)
	r.sinceSeen, r.sinceRotated, r.grace = micros(seen), micros(rotated), micros(grace)
	s.sampleClock(r)
	return r, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// elapsed is how long ago the row was asked for.
func (r *row[T]) elapsed() time.Duration { return since(r.asked, r.now()) }

func since(then, now time.Time) time.Duration {
	return max(elapsed.Between(then, now), 0)
}

// remaining is how long the session stays valid without use, after what has elapsed.
func (r *row[T]) remaining(elapsed time.Duration) time.Duration {
	left := r.untilDeadline - elapsed
	if r.info.Idle > 0 {
		left = min(left, r.info.Idle-r.sinceSeen-elapsed)
	}
	if !r.current {
		left = min(left, r.grace-elapsed)
	}
	return left
}

// check says what is wrong with the session after what has elapsed.
func (r *row[T]) check(elapsed time.Duration) error {
	switch {
	case r.revoked:
		return ErrRevoked
	case r.untilDeadline <= elapsed:
		return ErrExpired
	case !r.current && r.grace <= elapsed:
		return ErrRotated
	case r.info.Idle > 0 && r.info.Idle <= r.sinceSeen+elapsed:
		return ErrExpired
	}
	return nil
}

// final reports whether the session was over by the database's word and for good. What this process' clock says is no more
// than a reason to ask again: the clock may have been set, and another pod may have seen a use. An idle timeout is never
// final: such a use may be on its way to the database.
func (r *row[T]) final() bool {
	return r.revoked || r.untilDeadline <= 0 || !r.current && r.grace <= 0
}

// readAt is the database's clock at the read.
func (r *row[T]) readAt() time.Time { return r.info.LastSeen.Add(r.sinceSeen) }

func (r *row[T]) authenticatedAge(at time.Time) time.Duration { return r.readAt().Sub(at) }

// keep is how long the row is worth keeping.
func (r *row[T]) keep() time.Duration {
	const ended = time.Minute // a revoked token that is still sent need not reach the database each time
	if r.final() {
		return ended
	}
	return max(r.remaining(0), time.Millisecond)
}

// keys are those by which pods may have it cached.
func (r *row[T]) keys() []key {
	if r.prevKey == nil {
		return []key{r.key}
	}
	return []key{r.key, *r.prevKey}
}

// dataKey unwraps the data's key for the holder of the token.
func (r *row[T]) dataKey(sec *secret) func() (dataKey, error) {
	return func() (dataKey, error) { return unwrap(r.wrapped, sec, r.info.ID) }
}

// plain is what the codec wrote.
func (r *row[T]) plain(sec *secret) (version byte, encoded []byte, err error) {
	return unpack(r.data, r.info.ID, r.version, r.dataKey(sec))
}

// decode makes a new copy of the data.
func (s *Store[T]) decode(r *row[T], sec *secret) (data T, err error) {
	version, encoded, err := r.plain(sec)
	if err != nil {
		return data, err
	}
	data, err = s.decodeBytes(version, encoded)
	return data, err
}

// decodeBytes keeps a codec's error, which may quote the data, out of ours.
func (s *Store[T]) decodeBytes(version byte, encoded []byte) (data T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: the codec panicked", ErrUnreadable)
		}
	}()
	if data, err = s.cfg.Codec.Decode(version, encoded); err != nil {
		return data, fmt.Errorf("%w: the codec refuses version %d, %d bytes", ErrUnreadable, version, len(encoded))
	}
	return data, nil
}

// dataFor is the data for one caller. What decodes once may be shared, depending on what T holds.
func (s *Store[T]) dataFor(r *row[T], sec *secret) (data T, err error) {
	if s.share == shareNot {
		return s.decode(r, sec)
	}
	p := r.decoded.Load()
	if p == nil {
		first, err := s.decode(r, sec)
		if err != nil {
			return data, err
		}
		p = &first
		r.decoded.Store(p)
	}

	if s.share == shareClone {
		return s.cfg.Clone(*p), nil
	}
	return *p, nil
}

// session makes a caller's copy.
func (s *Store[T]) session(r *row[T], sec *secret, elapsed time.Duration) (*Session[T], error) {
	data, err := s.dataFor(r, sec)
	if err != nil {
		return nil, err
	}
	return s.result(r, data, elapsed), nil
}

// result is a caller's copy with data of its own.
func (s *Store[T]) result(r *row[T], data T, elapsed time.Duration) *Session[T] {
	return &Session[T]{
		Info: r.info, Data: data, Version: r.version, Replaced: !r.current, Remaining: r.remaining(elapsed), row: r,
	}
}

// holds reports whether a row has this data, as the codec writes it now.
func (s *Store[T]) holds(r *row[T], sec *secret, encoded []byte) bool {
	version, before, err := r.plain(sec)
	return err == nil && version == s.cfg.Codec.Version() && bytes.Equal(before, encoded)
}
