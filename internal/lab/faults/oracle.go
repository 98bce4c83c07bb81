package main

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"
)

// oracle knows since when each version is known to be committed, and judges reads. It goes by this process' monotonic
// clock alone. Versions are numbers that never come twice, and grow for each key.
type oracle struct {
	bound time.Duration
	board *boardClock // knows as well; nil: there is none

	mu     sync.Mutex
	keys   []history
	tally  tally
	proofs []string // the first violations, for people

	confirmers map[int64]string // by version: which pod confirmed what which pod had written, for proofs
}

// history is what is known of one key.
type history struct {
	committed []since  // ascending in both: this version or a later one was committed at that time
	confirmed []since  // the same for confirmations
	undone    []undone // what a failover took back
}

type since struct {
	version int64
	at      time.Time
}

// undone are the versions in (low, high], which a failover took back at a time.
type undone struct {
	low, high int64
	at        time.Time
}

// tally is what a row counts.
type tally struct {
	reads, stale, beyond, falseConfirms int64
	worst                               time.Duration // age of the oldest stale read
}

const maxProofs = 5

func newOracle(bound time.Duration, keys int, now time.Time) *oracle {
	o := &oracle{bound: bound, keys: make([]history, keys), confirmers: map[int64]string{}}
	for i := range o.keys {
		o.keys[i].committed = []since{{0, now}}
	}
	return o
}

// committed notes evidence that a version was committed at a time, or before.
func (o *oracle) committed(key int, version int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := &o.keys[key]
	h.committed = learn(h.committed, since{version, at})
	if o.board != nil {
		o.board.committed(key, version, at)
	}
}

// confirmedBy is confirmed, and notes for proofs by which pod, and who had written the version.
func (o *oracle) confirmedBy(pod, writer string, key int, version int64, at time.Time) {
	o.mu.Lock()
	o.confirmers[version] = fmt.Sprintf(" by %s, written by %s", pod, writer)
	o.mu.Unlock()
	o.confirmed(key, version, at)
}

// confirmed notes that a Confirm of a version returned nil.
func (o *oracle) confirmed(key int, version int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := &o.keys[key]
	h.confirmed = learn(h.confirmed, since{version, at})
	if o.board != nil {
		o.board.confirmed(key, version)
	}
}

// rewound notes that a failover took back all versions after one, up to the last that anybody wrote.
func (o *oracle) rewound(key int, version, last int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := &o.keys[key]
	newer := func(s since) bool { return s.version > version }
	h.committed = slices.DeleteFunc(h.committed, newer)
	h.confirmed = slices.DeleteFunc(h.confirmed, newer)
	if len(h.committed) == 0 {
		h.committed = []since{{version, at}}
	}
	h.undone = append(h.undone, undone{version, last, at})
}

// read judges one answer of a cache.
func (o *oracle) read(pod string, key int, version int64, sent time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.tally.reads++
	h := &o.keys[key]
	if c, ok := newestBefore(h.confirmed, sent); ok && c.version > version {
		o.tally.falseConfirms++
		o.prove("%s served version %d of key %d, %v after %d was confirmed%s", pod, version, key, sent.Sub(c.at), c.version, o.confirmers[c.version])
	}

	age, ok := h.supersededFor(version, sent)
	if !ok {
		return
	}

	o.tally.worst = max(o.tally.worst, age)
	if age <= o.bound {
		o.tally.stale++
		return
	}

	o.tally.beyond++
	o.prove("%s served version %d of key %d, superseded for %v", pod, version, key, age)
}

// supersededFor is for how long a version had been out of date when a read was sent; not ok if it was not.
func (h *history) supersededFor(version int64, sent time.Time) (time.Duration, bool) {
	for _, u := range h.undone {
		if version > u.low && version <= u.high && u.at.Before(sent) {
			return sent.Sub(u.at), true
		}
	}
	i := sort.Search(len(h.committed), func(i int) bool { return h.committed[i].version > version })
	if i == len(h.committed) || !h.committed[i].at.Before(sent) {
		return 0, false
	}
	return sent.Sub(h.committed[i].at), true
}

func (o *oracle) prove(format string, args ...any) {
	if len(o.proofs) < maxProofs {
		o.proofs = append(o.proofs, fmt.Sprintf(format, args...))
	}
}

// result is the count so far, and the first violations.
func (o *oracle) result() (tally, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tally, slices.Clone(o.proofs)
}

// learn adds to what is known, keeping both columns ascending: evidence of a version is evidence of all before it.
func learn(known []since, s since) []since {
	i := sort.Search(len(known), func(i int) bool { return known[i].version >= s.version })
	if i < len(known) && !known[i].at.After(s.at) {
		return known // known at least as early
	}

	if i < len(known) && known[i].version == s.version {
		known[i] = s
	} else {
		known = slices.Insert(known, i, s)
	}

	first := i
	for first > 0 && !known[first-1].at.Before(s.at) {
		first--
	}

	return slices.Delete(known, first, i)
}

// newestBefore is the last entry known before a time.
func newestBefore(known []since, t time.Time) (since, bool) {
	i := sort.Search(len(known), func(i int) bool { return !known[i].at.Before(t) })
	if i == 0 {
		return since{}, false
	}
	return known[i-1], true
}

// newest is the newest version that is known to be committed.
func (o *oracle) newest(key int) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.keys[key].committed
	return h[len(h)-1].version
}
