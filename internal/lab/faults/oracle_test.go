package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is a time of the tests: milliseconds after their start.
func at(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

var begin = time.Now()

func TestOracleJudgesReads(t *testing.T) {
	t.Parallel()
	const bound = 900 * time.Millisecond
	for name, c := range map[string]struct {
		version int64
		sent    int
		want    tally
	}{
		"the newest":                          {2, 5000, tally{reads: 1}},
		"newer than anybody knows":            {9, 5000, tally{reads: 1}},
		"the one before, sent before":         {1, 2000, tally{reads: 1}},
		"the one before, sent just after":     {1, 2001, tally{reads: 1, stale: 1, worst: time.Millisecond}},
		"the one before, sent at the bound":   {1, 2900, tally{reads: 1, stale: 1, worst: bound}},
		"the one before, sent after it":       {1, 2901, tally{reads: 1, beyond: 1, worst: bound + time.Millisecond}},
		"two before: since the next one":      {0, 2500, tally{reads: 1, beyond: 1, worst: 1500 * time.Millisecond}},
		"two before, sent while it was right": {0, 900, tally{reads: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOracle(bound, 1, at(0))
			o.committed(0, 2, at(2000)) // out of order, as the answers of writers come
			o.committed(0, 1, at(1000))
			o.read("pod", 0, c.version, at(c.sent))
			got, proofs := o.result()
			require.Equal(t, c.want, got)
			require.Len(t, proofs, int(c.want.beyond))
		})
	}
}

func TestOracleLearnsTheEarliest(t *testing.T) {
	t.Parallel()
	o := newOracle(time.Second, 1, at(0))
	o.committed(0, 3, at(300))
	o.committed(0, 2, at(500)) // says nothing that 3 did not say before
	o.committed(0, 3, at(400))
	o.committed(0, 1, at(100))
	require.Equal(t, []since{{0, at(0)}, {1, at(100)}, {3, at(300)}}, o.keys[0].committed)
	o.committed(0, 5, at(50)) // an answer that was long on its way: 1 and 3 were superseded before they were known
	require.Equal(t, []since{{0, at(0)}, {5, at(50)}}, o.keys[0].committed)
	require.Equal(t, int64(5), o.newest(0))
}

func TestOracleJudgesConfirmations(t *testing.T) {
	t.Parallel()
	o := newOracle(time.Second, 2, at(0))
	o.committed(0, 7, at(100))
	o.confirmed(0, 7, at(200))
	o.read("pod", 0, 0, at(200)) // sent before Confirm returned
	o.read("pod", 1, 0, at(300)) // another key
	o.read("pod", 0, 7, at(300))
	o.read("pod", 0, 8, at(300))
	got, _ := o.result()
	require.Zero(t, got.falseConfirms)
	o.read("pod", 0, 0, at(201))
	got, proofs := o.result()
	require.EqualValues(t, 1, got.falseConfirms)
	require.Zero(t, got.beyond, "within the bound, and false all the same")
	require.Contains(t, proofs[0], "after 7 was confirmed")
}

func TestOracleRewinds(t *testing.T) {
	t.Parallel()
	o := newOracle(time.Second, 1, at(0))
	o.committed(0, 3, at(100))
	o.committed(0, 6, at(200))
	o.confirmed(0, 6, at(300))
	o.rewound(0, 3, 8, at(1000))
	o.read("pod", 0, 3, at(5000)) // all that is left
	got, _ := o.result()
	require.Equal(t, tally{reads: 1}, got)
	o.read("pod", 0, 6, at(1500)) // taken back, within the bound
	o.read("pod", 0, 8, at(2500)) // and beyond it, although nobody knew of it
	got, _ = o.result()
	require.Equal(t, tally{reads: 3, stale: 1, beyond: 1, worst: 1500 * time.Millisecond}, got)
	o.committed(0, 9, at(3000))
	o.read("pod", 0, 3, at(4100))
	got, _ = o.result()
	require.EqualValues(t, 2, got.beyond)
}

// TestResultFails: a row with any violation does not pass, and neither does one that read nothing.
func TestResultFails(t *testing.T) {
	t.Parallel()
	require.True(t, result{tally: tally{reads: 1, stale: 5}}.passed())
	require.False(t, result{}.passed())
	require.False(t, result{tally: tally{reads: 1, beyond: 1}}.passed())
	require.False(t, result{tally: tally{reads: 1, falseConfirms: 1}}.passed())
	require.False(t, result{tally: tally{reads: 1}, lost: 1}.passed())
	require.False(t, result{tally: tally{reads: 1}, err: errNoAnswer}.passed())
}
