package leasequeue

import (
	"encoding/binary"
	"math"
	"slices"
)

// ID is a grant's id or a waiter's; 0 is none.
type ID int8

// Free is the expiry of a lease that was given up, -infinity in the table.
const Free = math.MinInt32

// The durations that statements are called with, in ticks.
const (
	TTL   = 2
	Alive = 2
	Claim = 1
)

// Waiter is a row of lease_waiter.
type Waiter struct {
	ID    ID
	Place int32
	Seen  int32
}

// State is the rows of one key, and the open transactions that are guarded by its lease.
type State struct {
	Now   int32
	Token int32 // the last token that the sequence gave out
	Place int32 // the last place

	Exists    bool
	Holds     int32 // the row's token
	Grant     ID
	Expires   int32
	Queued    bool
	Next      ID
	NextUntil int32
	Head      int32

	Waiters []Waiter // in the order of their places
	Guarded int8     // open transactions that have locked the row FOR KEY SHARE

	Off Rules
}

// Rules switches off rules of the queue.
type Rules struct {
	UnlockedToken bool // a token is changed although a transaction that is guarded by it is open
	UnmarkedQueue bool // who enters the queue does not mark the lease as queued
	WaitForLapsed bool // a waiter that does not claim what it was handed keeps it
	PassQueue     bool // a free lease may be taken by whoever comes
	AnyGuard      bool // a guard does not compare the token
}

// Clone returns a copy that shares nothing with s.
func (s *State) Clone() State {
	c := *s
	c.Waiters = slices.Clone(s.Waiters)

	return c
}

// Append appends everything that determines the future. Times are counted from now, so that states of different times
// can be equal; those that are over are equal, too.
func (s *State) Append(b []byte) []byte {
	put := func(n int32) { b = binary.AppendVarint(b, int64(n)) }
	left := func(until, least int32) {
		if until == Free {
			put(math.MinInt8)
		} else {
			put(max(until-s.Now, least))
		}
	}
	bit := func(set bool) {
		if set {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}

	bit(s.Exists)
	put(s.Token)
	put(s.Holds)
	put(int32(s.Grant))
	left(s.Expires, 0)
	bit(s.Queued)
	put(int32(s.Next))
	if s.Next != 0 {
		left(s.NextUntil, 0)
	}
	put(s.Head)
	put(s.Place)
	b = append(b, byte(len(s.Waiters)))
	for _, w := range s.Waiters {
		put(int32(w.ID))
		put(w.Place)
		left(w.Seen, -Alive)
	}

	return append(b, byte(s.Guarded))
}

// Waiter returns a waiter's row, or nil.
func (s *State) Waiter(id ID) *Waiter {
	for i := range s.Waiters {
		if s.Waiters[i].ID == id {
			return &s.Waiters[i]
		}
	}

	return nil
}

// Held reports whether the lease is held.
func (s *State) Held() bool { return s.Exists && s.Expires > s.Now }

// IsLive reports whether a waiter counts as alive.
func (s *State) IsLive(w *Waiter) bool { return w.Seen > s.Now-Alive }
