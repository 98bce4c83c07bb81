package main

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

const (
	// measuringSlack is added to the stated bound for what is not the pods' doing: their clocks and the parent's are
	// of one machine, but need not tick alike.
	measuringSlack = 50 * time.Millisecond

	// bound is how long after its successor's commit a version may be served. A pod serves from its cache only while
	// it has proof of being in sync less than StaleAfter ago.
	bound = bus.DefaultStaleAfter + measuringSlack
)

// oracle knows when versions were committed, and judges reads. It lives in the parent and goes by the parent's
// monotonic clock alone. A version counts as committed from the moment at which anybody has evidence: the answer of the
// commit, or a read that returned it or a later one. So a commit whose answer was lost is possible, but not certain,
// until somebody sees it.
type oracle struct {
	bound time.Duration

	mu       sync.Mutex
	accounts map[string]*history
}

// history is what is known of one account.
type history struct {
	first    int64       // the version at the start
	evidence []time.Time // of version first+i; never later than that of the next one
	possible int64       // writes whose outcome is open, under way or lost: so many versions more there may be
}

// verdict is what the oracle says of a read.
type verdict int

const (
	current    verdict = iota // nothing newer was known to be committed when the read was sent
	stale                     // superseded before, within the bound
	violation                 // superseded before, for longer than the bound
	impossible                // a version that nobody has written
)

func newOracle(bound time.Duration, ids []string, now time.Time) *oracle {
	o := &oracle{bound: bound, accounts: map[string]*history{}}
	for _, id := range ids {
		o.accounts[id] = &history{first: 1, evidence: []time.Time{now}}
	}
	return o
}

// begin notes that a write was sent. What follows is committed, failed, or neither: then it stays possible.
func (o *oracle) begin(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accounts[id].possible++
}

// committed notes the answer of a commit.
func (o *oracle) committed(id string, version int64, answered time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.accounts[id]
	h.learn(version, answered)
	h.possible--
}

// saw notes evidence of a version by other means: the parent has read it from the database itself.
func (o *oracle) saw(id string, version int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accounts[id].learn(version, at)
}

// read judges a read that was sent at one time and answered at another. age is how long before it was sent its version
// had been superseded.
func (o *oracle) read(id string, version int64, sent, answered time.Time) (v verdict, age time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.accounts[id]
	if version < h.first || version > h.newest()+h.possible {
		return impossible, 0
	}
	superseded, known := h.supersededAt(version)
	h.learn(version, answered)
	if !known || !superseded.Before(sent) {
		return current, 0
	}
	if age = sent.Sub(superseded); age > o.bound {
		return violation, age
	}
	return stale, age
}

// newest is the newest version that is known to be committed.
func (h *history) newest() int64 { return h.first + int64(len(h.evidence)) - 1 }

// supersededAt is when there was evidence of a later version.
func (h *history) supersededAt(version int64) (time.Time, bool) {
	if version >= h.newest() {
		return time.Time{}, false
	}
	return h.evidence[version-h.first+1], true
}

// learn notes evidence of a version, which is evidence of all before it.
func (h *history) learn(version int64, at time.Time) {
	for h.newest() < version {
		h.evidence = append(h.evidence, at)
	}
	for i := version - h.first; i >= 0 && h.evidence[i].After(at); i-- {
		h.evidence[i] = at
	}
}
