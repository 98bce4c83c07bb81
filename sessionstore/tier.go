package sessionstore

import (
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"
)

// databaseClock knows what the database's clock says at most: the row that was read last said so, and was asked for
// before. Its estimate is late by as long as the answer took, never early, so deadlines counted by it come no later.
type databaseClock struct{ last atomic.Pointer[clockSample] }

type clockSample struct{ asked, said time.Time }

func (s *Store[T]) sampleClock(r *row[T]) {
	s.clock.last.Store(&clockSample{r.asked, r.readAt()})
}

var errNoClock = errors.New("sessionstore: nothing was read from the database yet")

// tierRow is a row in a tier, which sealedTier encrypts. Remaining times are as of At, by the database's clock.
type tierRow struct {
	At        time.Time     `json:"at"`
	Key       key           `json:"k"`
	PrevKey   *key          `json:"pk,omitempty"`
	Current   bool          `json:"c"`
	Proof     []byte        `json:"p"`
	Wrapped   []byte        `json:"w,omitempty"`
	Info      Info          `json:"i"`
	Tag       string        `json:"t,omitempty"`
	Version   int64         `json:"v"`
	Data      []byte        `json:"d"`
	LastWrite string        `json:"l"`
	Revoked   bool          `json:"r,omitempty"`
	Deadline  time.Duration `json:"dl"`
	Seen      time.Duration `json:"s"`
	Rotated   time.Duration `json:"ro"`
	Grace     time.Duration `json:"g,omitempty"`

	CurrentProof []byte `json:"cp,omitempty"`
	NextSalt     []byte `json:"ns,omitempty"`
	Unconfirmed  bool   `json:"u,omitempty"`
}

// rowCodec is the cache's codec for its tier.
type rowCodec[T any] struct{ store *Store[T] }

func (c rowCodec[T]) Marshal(r *row[T]) ([]byte, error) {
	return json.Marshal(tierRow{
		r.readAt(), r.key, r.prevKey, r.current, r.proof, r.wrapped, r.info, r.tag, r.version, r.data, r.lastWrite, r.revoked,
		r.untilDeadline, r.sinceSeen, r.sinceRotated, r.grace, r.currentProof, r.nextSalt, r.unconfirmed,
	})
}

// Unmarshal refuses a row of unknown age: then the database is asked.
func (c rowCodec[T]) Unmarshal(data []byte) (*row[T], error) {
	sample := c.store.clock.last.Load()
	if sample == nil {
		return nil, errNoClock
	}

	var t tierRow
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, err
	}

	if !t.Info.LastSeen.Add(t.Seen).Equal(t.At) || len(t.Proof) != len(proof{}) {
		return nil, errors.New("sessionstore: tier holds no row of ours")
	}
	now := c.store.cfg.now()
	age := max(sample.said.Add(since(sample.asked, now)).Sub(t.At), 0)
	return &row[T]{
		now: c.store.cfg.now, asked: now.Add(-age), key: t.Key, prevKey: t.PrevKey, current: t.Current, proof: t.Proof, wrapped: t.Wrapped,
		info: t.Info, tag: t.Tag, version: t.Version, data: t.Data, lastWrite: t.LastWrite, revoked: t.Revoked,
		untilDeadline: t.Deadline, sinceSeen: t.Seen, sinceRotated: t.Rotated, grace: t.Grace,
		currentProof: t.CurrentProof, nextSalt: t.NextSalt, unconfirmed: t.Unconfirmed,
	}, nil
}
