package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at returns a time of the synthetic history below, in milliseconds.
func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

// TestOracle_CanFail: the oracle finds violations in a history that has them.
func TestOracle_CanFail(t *testing.T) {
	t.Parallel()
	const bound = 100 * time.Millisecond
	for name, tc := range map[string]struct {
		version   int64
		sent      int
		verdict   verdict
		age       time.Duration
		unwritten bool // the second write got no response
	}{
		"the newest":                       {version: 3, sent: 500, verdict: current},
		"before it was superseded":         {version: 1, sent: 9, verdict: current},
		"sent as the commit returned":      {version: 1, sent: 10, verdict: current},
		"a moment after":                   {version: 1, sent: 11, verdict: stale, age: time.Millisecond},
		"at the bound":                     {version: 1, sent: 110, verdict: stale, age: bound},
		"beyond the bound":                 {version: 1, sent: 111, verdict: violation, age: bound + time.Millisecond},
		"the second, stale":                {version: 2, sent: 60, verdict: stale, age: 40 * time.Millisecond},
		"the second, beyond the bound":     {version: 2, sent: 121, verdict: violation, age: 101 * time.Millisecond},
		"from the future":                  {version: 4, sent: 500, verdict: impossible},
		"from before the start":            {version: 0, sent: 500, verdict: impossible},
		"unknown outcome: it did not":      {version: 2, sent: 500, verdict: current, unwritten: true},
		"unknown outcome: it did":          {version: 3, sent: 500, verdict: current, unwritten: true},
		"unknown outcome: only one of it":  {version: 4, sent: 500, verdict: impossible, unwritten: true},
		"unknown outcome: the first stays": {version: 1, sent: 500, verdict: violation, age: 490 * time.Millisecond, unwritten: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOracle(bound, []string{"alice"}, at(0))
			o.begin("alice")
			o.committed("alice", 2, at(10))
			o.begin("alice")

			if !tc.unwritten {
				o.committed("alice", 3, at(20))
			}

			v, age := o.read("alice", tc.version, at(tc.sent), at(tc.sent+1))
			require.Equal(t, tc.verdict, v)
			require.Equal(t, tc.age, age)
		})
	}
}

// TestOracle_ReadsAreEvidence: a version that a read returned is committed, so later reads may not return older ones for long.
func TestOracle_ReadsAreEvidence(t *testing.T) {
	t.Parallel()
	o := newOracle(100*time.Millisecond, []string{"alice"}, at(0))
	o.begin("alice") // its response is lost
	v, _ := o.read("alice", 1, at(300), at(301))
	require.Equal(t, current, v, "there is no evidence of the write yet")
	v, _ = o.read("alice", 2, at(310), at(312))
	require.Equal(t, current, v)
	v, _ = o.read("alice", 1, at(311), at(320))
	require.Equal(t, current, v, "sent before the other read returned")
	v, age := o.read("alice", 1, at(500), at(501))
	require.Equal(t, violation, v)
	require.Equal(t, 188*time.Millisecond, age)
}

// TestOracle_CommitsOutOfOrder: the second commit can be recorded before the first.
func TestOracle_CommitsOutOfOrder(t *testing.T) {
	t.Parallel()
	o := newOracle(time.Second, []string{"alice"}, at(0))
	o.begin("alice")
	o.begin("alice")
	o.committed("alice", 3, at(20))
	o.committed("alice", 2, at(10))
	_, age := o.read("alice", 1, at(30), at(31))
	require.Equal(t, 20*time.Millisecond, age, "superseded by the second version, at 10")
	_, age = o.read("alice", 2, at(30), at(31))
	require.Equal(t, 10*time.Millisecond, age, "superseded by the third, at 20")
}

// TestTally_Failures: every kind of violation makes the story fail, and so does a chapter without a read from a cache.
func TestTally_Failures(t *testing.T) {
	t.Parallel()
	good := func() *tally {
		tl := newTally("a chapter", outage{})
		tl.count("A", true, current, 0)
		return tl
	}
	require.Empty(t, good().problems())

	for name, spoil := range map[string]func(*tally){
		"beyond the bound":          func(tl *tally) { tl.count("A", true, violation, time.Hour) },
		"impossible":                func(tl *tally) { tl.count("A", true, impossible, 0) },
		"lost":                      func(tl *tally) { tl.addLost("A serves version 1 of alice, version 2 is committed") },
		"unanswered":                func(tl *tally) { tl.unanswered(false) },
		"unanswered by round robin": func(tl *tally) { tl.unanswered(true) },
		"a check of its own":        func(tl *tally) { tl.fail("too late") },
	} {
		tl := good()
		spoil(tl)
		require.Len(t, tl.problems(), 1, name)
	}
	require.Len(t, newTally("an empty chapter", outage{}).problems(), 1, "nothing was served from a cache")

	tl := newTally("an outage", outage{pods: true, front: true})
	tl.count("A", true, stale, time.Second)
	tl.unanswered(false)
	tl.unanswered(true)
	require.Empty(t, tl.problems())
}
