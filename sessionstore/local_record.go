package sessionstore

import (
	"crypto/sha256"
	"maps"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// record is a session as the tables of Postgres have it. It never changes once it is in a store: a write puts another one
// in its place.
type record struct {
	Key     key
	Proof   proof
	Wrapped []byte
	Before  *replaced // the token before the current one; nil: none
	Salt    []byte    // from which and the token before the current one was derived

	Info    Info
	Gen     int64
	Version int64
	Data    []byte
	Revoked time.Time // zero: it is not
	Reason  Reason

	use *lastUse // shared by the records of one session
}

// replaced is a token that a rotation with a grace has replaced.
type replaced struct {
	Key     key
	Proof   proof
	Wrapped []byte
	Until   time.Time
	Grace   time.Duration // that begins with the first use of the new token; zero: it has begun
}

// lastUse is the last use of a session.
type lastUse struct {
	at      atomic.Int64 // in nanoseconds since 1970
	address atomic.Pointer[string]
	unsaved atomic.Bool
}

func newLastUse(at time.Time, address string) *lastUse {
	u := &lastUse{}
	u.at.Store(at.UnixNano())
	u.address.Store(&address)
	return u
}

func (u *lastUse) time() time.Time { return time.Unix(0, u.at.Load()).UTC() }

// copy is for a write that changes it.
func (r *record) copy() *record {
	c := *r
	if r.Before != nil {
		before := *r.Before
		c.Before = &before
	}
	return &c
}

func (r *record) keys() []key {
	if r.Before == nil {
		return []key{r.Key}
	}
	return []key{r.Key, r.Before.Key}
}

// row is the record as a read of Postgres would return it, by one of its two keys.
func (s *LocalStore[T]) row(rec *record, k key, now time.Time) *row[T] {
	r := &row[T]{
		now: s.form.cfg.now, asked: s.form.cfg.now(), key: rec.Key, current: rec.Key == k, proof: rec.Proof[:], wrapped: rec.Wrapped,
		info: rec.Info, version: rec.Version, data: rec.Data, revoked: !rec.Revoked.IsZero(), currentProof: rec.Proof[:], nextSalt: rec.Salt,
	}

	if b := rec.Before; b != nil {
		r.prevKey, r.grace, r.unconfirmed = &b.Key, b.Until.Sub(now), b.Grace > 0
		if !r.current {
			r.proof, r.wrapped = b.Proof[:], b.Wrapped
		}
	}

	if rec.Info.User != "" && rec.Gen != s.generation(rec.Info.User) {
		r.revoked = true
	}
	r.info.LastSeen, r.info.LastAddress = rec.use.time(), *rec.use.address.Load()
	r.info.Device.Extra = maps.Clone(rec.Info.Device.Extra)
	r.untilDeadline, r.sinceSeen, r.sinceRotated = rec.Info.ExpiresAt.Sub(now), now.Sub(r.info.LastSeen), now.Sub(rec.Info.RotatedAt)
	return r
}

// lookup returns the row of a key, and its record. The caller holds mu or writing.
func (s *LocalStore[T]) lookup(k key, now time.Time) (*record, *row[T], error) {
	id, ok := s.index[k]
	if !ok {
		return nil, nil, ErrNotFound
	}
	rec := s.sessions[id]
	return rec, s.row(rec, k, now), nil
}

// generation is the present one of a user. The caller holds mu or writing.
func (s *LocalStore[T]) generation(user string) int64 {
	if u, ok := s.users[userDigest(user)]; ok {
		return u.Gen
	}
	return s.base
}

// valid reports whether a session counts, apart from the token that is shown. The caller holds mu or writing.
func (s *LocalStore[T]) valid(rec *record, now time.Time) bool {
	return s.row(rec, rec.Key, now).check(0) == nil
}

// put and remove keep the maps together. The caller holds both mutexes.
func (s *LocalStore[T]) put(rec *record) {
	s.remove(rec.Info.ID)
	s.sessions[rec.Info.ID] = rec
	for _, k := range rec.keys() {
		s.index[k] = rec.Info.ID
	}
	of := s.byUser[rec.Info.User]
	if of == nil {
		of = map[uuid.UUID]struct{}{}
		s.byUser[rec.Info.User] = of
	}
	of[rec.Info.ID] = struct{}{}
}

func (s *LocalStore[T]) remove(id uuid.UUID) {
	old, ok := s.sessions[id]
	if !ok {
		return
	}
	delete(s.sessions, id)
	for _, k := range old.keys() {
		delete(s.index, k)
	}
	of := s.byUser[old.Info.User]
	if delete(of, id); len(of) == 0 {
		delete(s.byUser, old.Info.User)
	}
}

func userDigest(user string) digest { return sha256.Sum256([]byte("pgcoherence user " + user)) }

func sidDigest(issuer, sid string) digest {
	return sha256.Sum256([]byte("pgcoherence sid " + issuer + "\x00" + sid))
}
