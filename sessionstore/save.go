package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Save writes the Data of a session that was read with the same token. If it was written since, Save returns
// [ErrConflict], and the caller has to read it again. A session that has ended stays ended: [ErrRevoked],
// [ErrExpired]. When Save returns nil, got.Version is the new version, and every pod reads the new data.
func (s *Store[T]) Save(ctx context.Context, token string, got *Session[T]) error {
	p, encoded, err := s.prepareSave(token, got)
	if err != nil {
		return err
	}

	r, _, err := s.find(ctx, &p)
	if err != nil {
		return err
	}

	for try := 0; ; try++ {
		w, err := s.writeOf(&p, r, got, encoded)
		if err != nil {
			return err
		}
		if err = s.save(ctx, &p, got, w); !errors.Is(err, ErrConflict) || try >= s.cfg.MaxRetries {
			return err
		}
		// Another version is the caller's conflict. Another key of the data, or another token, is only ours.
		now, _, findErr := s.findFresh(ctx, &p)
		if findErr != nil {
			return findErr
		}
		if now.version != got.Version || now.version != r.version {
			return err
		}
		r = now
	}
}

// SaveTx is Save in a transaction of the caller that the bus began. The data changes when it commits.
func (s *Store[T]) SaveTx(ctx context.Context, tx pgx.Tx, token string, got *Session[T]) error {
	p, encoded, err := s.prepareSave(token, got)
	if err != nil {
		return err
	}

	err = s.joinTx(ctx, tx, func(tx pgx.Tx, c *changes) error {
		r, err := s.readValid(ctx, tx, &p)
		if err != nil {
			return err
		}
		w, err := s.writeOf(&p, r, got, encoded)
		if err != nil {
			return err
		}
		return s.write(ctx, tx, &p, w, c)
	})
	if err != nil {
		return explain("save", err)
	}
	got.Version++
	return nil
}

// Update reads a session, calls fn to change its data, and writes it. After a conflict it starts again, so fn may be
// called several times, each time with its own copy of the data. If fn leaves the data unchanged, nothing is written.
// An error of fn is returned unchanged, and nothing is written.
func (s *Store[T]) Update(ctx context.Context, token string, fn func(data *T) error) (*Session[T], error) {
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}

	r, elapsed, err := s.find(ctx, &p)
	for try, fresh := 0, false; err == nil; try++ {
		var data T
		if data, err = s.decode(r, &p.secret); err != nil {
			return nil, err
		}
		if err := fn(&data); err != nil {
			return nil, err
		}
		var got *Session[T]
		if got, err = s.replace(ctx, &p, r, data, elapsed, fresh); err == nil {
			return got, nil
		}
		if !errors.Is(err, ErrConflict) || try >= s.cfg.MaxRetries {
			return nil, err
		}
		if err = pause(ctx, try); err == nil {
			r, elapsed, err = s.findFresh(ctx, &p)
			fresh = true
		}
	}

	return nil, err
}

// replace writes data that was made from a row, unless the database has it already. Memory may be behind, so it is not
// enough that the row was found there to have it: ErrConflict if the database has another version.
func (s *Store[T]) replace(ctx context.Context, p *present, r *row[T], data T, elapsed time.Duration, fresh bool) (*Session[T], error) {
	encoded, err := s.encode(data)
	if err != nil {
		return nil, err
	}

	if s.holds(r, &p.secret, encoded) {
		if !fresh {
			now, age, err := s.findFresh(ctx, p)
			if err != nil {
				return nil, err
			}
			if now.version != r.version {
				return nil, ErrConflict
			}
			r, elapsed = now, age
		}
		s.used(ctx, r, elapsed)
		return s.result(r, data, elapsed), nil
	}

	w, err := s.envelopeFor(p, r, r.version, encoded)
	if err != nil {
		return nil, err
	}

	got := s.result(r, data, elapsed)
	return got, s.save(ctx, p, got, w)
}

// UpdateTx is Update in a transaction of the caller that the bus began. It does not retry: it returns ErrConflict. It
// reads in the transaction, bypassing the cache.
func (s *Store[T]) UpdateTx(ctx context.Context, tx pgx.Tx, token string, fn func(data *T) error) (*Session[T], error) {
	p, err := s.present(token)
	if err != nil {
		return nil, err
	}

	var got *Session[T]
	err = s.joinTx(ctx, tx, func(tx pgx.Tx, c *changes) error {
		r, err := s.readValid(ctx, tx, &p)
		if err != nil {
			return err
		}
		data, err := s.decode(r, &p.secret)
		if err != nil {
			return err
		}
		if err = fn(&data); err != nil {
			return applicationError{err}
		}
		encoded, err := s.encode(data)
		if err != nil {
			return err
		}
		w, err := s.envelopeFor(&p, r, r.version, encoded)
		if err != nil {
			return err
		}
		got = s.result(r, data, 0)
		got.Version++
		return s.write(ctx, tx, &p, w, c)
	})

	if theirs := unwrapped(err); theirs != err { //nolint:errorlint // it is the caller's own, as it was
		return nil, theirs
	}
	if err != nil {
		return nil, explain("update", err)
	}

	return got, nil
}

// unwrapped is an error of the caller's as it was.
func unwrapped(err error) error {
	var theirs applicationError
	if errors.As(err, &theirs) {
		return theirs.error
	}
	return err
}

// applicationError takes an error of the caller's through a transaction as it is.
type applicationError struct{ error }

// dataWrite is one write of data.
type dataWrite struct {
	id        uuid.UUID
	version   int64 // that was read
	envelope  []byte
	wrapped   []byte // the data's key, if it is new
	sealed    bool   // the row was found encrypted
	lastWrite uuid.UUID
}

// prepareSave is what can be said without asking anybody.
func (s *Store[T]) prepareSave(token string, got *Session[T]) (p present, encoded []byte, err error) {
	if got == nil || got.row == nil {
		return p, nil, fmt.Errorf("%w: Session is not one that this store returned", ErrInvalid)
	}
	if p, err = s.present(token); err != nil {
		return p, nil, err
	}
	encoded, err = s.encode(got.Data)
	return p, encoded, err
}

func (s *Store[T]) writeOf(p *present, r *row[T], got *Session[T], encoded []byte) (dataWrite, error) {
	if r.info.ID != got.ID {
		return dataWrite{}, fmt.Errorf("%w: token is of another session", ErrInvalid)
	}
	version := got.Version
	if s.weak.BlindSave {
		version = r.version
	}
	return s.envelopeFor(p, r, version, encoded)
}

// envelopeFor encrypts as the row is encrypted; a plain one becomes so where that is configured, unless an old token in
// its grace could then not read it.
func (s *Store[T]) envelopeFor(p *present, r *row[T], version int64, encoded []byte) (w dataWrite, err error) {
	w = dataWrite{id: r.info.ID, version: version, lastWrite: uuid.New(), sealed: r.wrapped != nil}
	var k *dataKey
	switch {
	case r.wrapped != nil:
		had, err := unwrap(r.wrapped, &p.secret, r.info.ID)
		if err != nil {
			return w, err
		}
		k = &had
	case s.cfg.Encrypt && r.current && (r.prevKey == nil || r.grace <= 0):
		fresh := newDataKey()
		k, w.wrapped = &fresh, fresh.wrap(&p.secret, r.info.ID)
	}

	w.envelope = pack(k, w.id, version+1, s.cfg.Codec.Version(), encoded)
	return w, nil
}

func (s *Store[T]) save(ctx context.Context, p *present, got *Session[T], w dataWrite) error {
	receipt, err := s.inTx(ctx, func(tx pgx.Tx, c *changes) error { return s.write(ctx, tx, p, w, c) })
	if err != nil && outcomeUnknown(err) && s.ours(ctx, p.key, w.lastWrite) {
		err = nil
	}
	if err != nil {
		if errors.Is(err, ErrConflict) {
			s.stats.conflicts.Add(1)
		}
		return explain("save", err)
	}
	got.Version, got.receipt = w.version+1, receipt
	return nil
}

// write is the statement and what it makes invalid.
func (s *Store[T]) write(ctx context.Context, tx pgx.Tx, p *present, w dataWrite, c *changes) error {
	var version int64
	var found, prev []byte
	err := tx.QueryRow(ctx, s.sql.save, p.key[:], p.proof[:], w.id.String(), w.version, w.envelope, w.lastWrite.String(), w.wrapped, w.sealed).
		Scan(&version, &found, &prev)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.whyNot(ctx, tx, p)
	}
	if err != nil {
		return explain("save", err)
	}
	c.session(keysOf(found, prev)...)
	return nil
}

// ours finds out whether a write whose answer was lost has happened.
func (s *Store[T]) ours(ctx context.Context, k key, lastWrite uuid.UUID) bool {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
	defer cancel()
	for try := 0; ; try++ {
		r, err := s.read(ctx, s.pool, k)
		if err == nil {
			return r.lastWrite == lastWrite.String()
		}
		if errors.Is(err, ErrNotFound) || pause(ctx, try) != nil {
			return false
		}
	}
}

func keysOf(found, prev []byte) []key {
	keys := []key{key(found)}
	if prev != nil {
		keys = append(keys, key(prev))
	}
	return keys
}

// pause waits a little longer each time, so that those who collided do not do so again.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(rand.N(min(time.Millisecond<<min(try, 8), 100*time.Millisecond)) + 1)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
