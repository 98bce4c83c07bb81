package sessionstore

import (
	"slices"
	"sync/atomic"

	"github.com/pgcoherence/pgcoherence/cache"
)

// results are the outcomes of Get, for metrics.
var results = []struct {
	name string
	err  error
}{
	{"ok", nil},
	{"error", nil},
	{"malformed", ErrMalformed},
	{"not_found", ErrNotFound},
	{"expired", ErrExpired},
	{"revoked", ErrRevoked},
	{"rotated", ErrRotated},
	{"unreadable", ErrUnreadable},
	{"unavailable", ErrUnavailable},
	{"busy", ErrBusy},
}

const (
	resultOK    = 0
	resultError = 1
	resultCount = 10
)

// Kinds of what a sweep does.
const (
	sweptExpired = iota
	sweptIdle
	sweptEmptied
	sweptOneTime
	sweptLogout
	sweptRevoked
	sweptKinds
)

var sweptNames = [sweptKinds]string{"expired", "idle", "emptied", "one_time", "logout", "revoked"}

// sweptKind is the kind of a name.
func sweptKind(name string) int { return max(slices.Index(sweptNames[:], name), 0) }

// Stats is a snapshot of the counts and the state of a store. Counts start at zero when it is made.
type Stats struct {
	Gets        map[string]int64 // by result: ok, not_found, expired, revoked, rotated, malformed, unreadable, unavailable, busy, error
	Lookups     int64            // sessions read from the database
	Created     int64
	Revoked     map[Reason]int64 // sessions; for ReasonUser and ReasonOthers users, for ReasonAll calls
	Conflicts   int64            // writes that conflicted with another
	Touched     int64            // uses written
	TouchesLost int64            // uses dropped, because too many were waiting
	Swept       map[string]int64 // rows: expired, idle, revoked, one_time, logout are deleted, emptied ones only lose their data
	Waiting     int              // uses waiting to be written
	Streams     int              // contexts of Bind
	Active      int64            // valid sessions in the database, of all pods, as of the last sweep; an estimate if there are more than some thousands; -1 before the first
	Cache       cache.Stats
}

// counters are the moving parts of Stats.
type counters struct {
	gets        [resultCount]atomic.Int64
	lookups     atomic.Int64
	created     atomic.Int64
	conflicts   atomic.Int64
	touched     atomic.Int64
	touchesLost atomic.Int64
	ended       [8]atomic.Int64
	swept       [sweptKinds]atomic.Int64
	active      atomic.Int64 // one more than there are, so that 0 is: not counted yet
}

// activeSessions is what the last sweep counted on its way.
func (c *counters) activeSessions() (n int64, counted bool) {
	n = c.active.Load() - 1
	return n, n >= 0
}

func (c *counters) got(err error) {
	if err == nil {
		c.gets[resultOK].Add(1)
		return
	}
	c.gets[resultOf(err)].Add(1)
}

func (c *counters) revoked(why Reason, n int) {
	if i := slices.Index(reasons, why); i >= 0 {
		c.ended[i].Add(int64(n))
	}
}

// Stats returns the current counts. It does no I/O.
func (s *Store[T]) Stats() Stats {
	c := &s.stats
	st := Stats{
		Gets: make(map[string]int64, len(results)), Revoked: make(map[Reason]int64, len(reasons)), Swept: make(map[string]int64, sweptKinds),
		Lookups: c.lookups.Load(), Created: c.created.Load(), Conflicts: c.conflicts.Load(), Touched: c.touched.Load(),
		TouchesLost: c.touchesLost.Load(), Waiting: s.touches.size(), Streams: s.streams.size(), Cache: s.rows.Stats(),
	}

	st.Active, _ = c.activeSessions()
	for i, r := range results {
		st.Gets[r.name] = c.gets[i].Load()
	}

	for i, r := range reasons {
		st.Revoked[r] = c.ended[i].Load()
	}
	for i, name := range sweptNames {
		st.Swept[name] = c.swept[i].Load()
	}

	return st
}
