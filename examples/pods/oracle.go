package main

import (
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

const (
	// measuringSlack is added to the documented bound for errors of measurement: processes of one machine need not see
	// exactly the same time.
	measuringSlack = 50 * time.Millisecond

	// bound is how long a version may be served after its successor's commit. A pod serves from its cache only while its
	// proof of being in sync is younger than StaleAfter.
	bound = bus.DefaultStaleAfter + measuringSlack
)

// oracle records when versions were committed, and checks reads. It runs in the parent and uses only the parent's
// monotonic clock. A version counts as committed from the first evidence: the return of the commit, or a read that returned
// it or a later version. A commit whose response was lost is possible, but not certain, until a read returns it.
type oracle struct {
	bound time.Duration

	mu       sync.Mutex
	accounts map[string]*history
}

// history is what is known of one account.
type history struct {
	first    int64       // the version at the start
	evidence []time.Time // of version first+i; never later than that of the next one
	possible int64       // writes that are running or have an unknown outcome: as many more versions may exist
}

// verdict is the oracle's result for a read.
type verdict int

const (
	current    verdict = iota // nothing newer was known to be committed when the read was sent
	stale                     // superseded before, within the bound
	violation                 // superseded before, for longer than the bound
	impossible                // a version that was never written
)

func newOracle(bound time.Duration, ids []string, now time.Time) *oracle {
	o := &oracle{bound: bound, accounts: map[string]*history{}}
	for _, id := range ids {
		o.accounts[id] = &history{first: 1, evidence: []time.Time{now}}
	}
	return o
}

// begin records that a write was sent. Call committed or failed next; if neither is called, the write stays possible.
func (o *oracle) begin(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accounts[id].possible++
}

// committed records that a commit returned.
func (o *oracle) committed(id string, version int64, answered time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.accounts[id]
	h.learn(version, answered)
	h.possible--
}

// saw records other evidence of a version: the parent has read it from the database.
func (o *oracle) saw(id string, version int64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accounts[id].learn(version, at)
}

// read checks a read by the times of its request and its response. age is the time from when the returned version was
// superseded until the request was sent.
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

// newest returns the newest version that is known to be committed.
func (h *history) newest() int64 { return h.first + int64(len(h.evidence)) - 1 }

// supersededAt returns the time of the first evidence of a later version.
func (h *history) supersededAt(version int64) (time.Time, bool) {
	if version >= h.newest() {
		return time.Time{}, false
	}
	return h.evidence[version-h.first+1], true
}

// learn records evidence of a version, which is also evidence of all versions before it.
func (h *history) learn(version int64, at time.Time) {
	for h.newest() < version {
		h.evidence = append(h.evidence, at)
	}
	for i := version - h.first; i >= 0 && h.evidence[i].After(at); i-- {
		h.evidence[i] = at
	}
}
