package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestSoak is a soak in short: two faults at once, over caches, sessions and leases.
func TestSoak(t *testing.T) {
	pgtest.RequireBinaries(t)
	file := filepath.Join(t.TempDir(), "soak.json")
	out, err := runFlags(t, "--soak", "1s", "--seconds", "1", "--seed", "7", "--rest", "100", "--json", file,
		"--schedule", "listen-cut+backend-terminated@200ms")
	require.Contains(t, out, "RESULT soak.violations 0")
	if err != nil && (strings.Contains(err.Error(), "not in sync") || strings.Contains(err.Error(), "lets nobody in")) {
		// What is tested here is that no promise is broken. How long pods take on a machine that has no time for them is not.
		t.Logf("*** NOT TESTED to its end, on a machine too busy: %v", err)
		return
	}
	require.NoError(t, err, out)

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var r soakReport
	require.NoError(t, json.Unmarshal(text, &r))
	require.Equal(t, map[string]int{"listen-cut": 1, "backend-terminated": 1}, r.Faults)
	require.Positive(t, r.Total.Caches.Reads)
	require.Positive(t, r.Total.SessionAnswers)
	require.Positive(t, r.Total.GuardedWrites)
	require.Greater(t, r.Bounds[0].Nines, 3.0)
}

// TestSoakFinds: with a guard off the soak finds it, says how to see it again, and that it needs no fault.
func TestSoakFinds(t *testing.T) {
	pgtest.RequireBinaries(t)
	out, err := runFlags(t, "--soak", "1m", "--seconds", "1", "--rest", "20", "--weaken", "KeepLoads", "--minimise", "1m",
		"--schedule", "truncate")
	require.ErrorContains(t, err, "promises broken", out)
	require.Contains(t, out, "VIOLATION")
	require.Contains(t, out, "--schedule 'truncate'")
	require.Contains(t, out, "MINIMAL no fault is needed")
}

func TestSoakFlags(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`no control "nonsense"`:        {"--soak", "1s", "--weaken", "nonsense"},
		`no fault "nonsense"`:          {"--soak", "1s", "--schedule", "truncate,nonsense"},
		"less than a second":           {"--soak", "1s", "--round", "1ms"},
		"--rest: -1":                   {"--soak", "1s", "--rest", "-1"},
		`time: invalid duration "soon`: {"--soak", "1s", "--schedule", "truncate@soon"},
	} {
		_, err := runFlags(t, args...)
		require.ErrorContains(t, err, want)
	}
}

// TestSoakFaults: each row of the matrix is one of a soak's, or it is written down why not.
func TestSoakFaults(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range faults() {
		known[f.name] = true
		_, soaked := ofMatrix[f.name]
		why, left := notSoaked[f.name]
		require.NotEqual(t, soaked, left, f.name)
		require.Equal(t, left, why != "", f.name)
	}
	for name := range ofMatrix {
		require.True(t, known[name], name)
	}
	require.Greater(t, len(soakFaults(true)), len(soakFaults(false)))
}

// TestSchedule: equal seeds draw equal schedules, of which each is its own text, and two faults at once are of two kinds.
func TestSchedule(t *testing.T) {
	t.Parallel()
	all := soakFaults(true)
	pairs := 0
	for seed := range uint64(50) {
		a, b := newChance(seed, all), newChance(seed, all)
		var s schedule
		for range 20 {
			st := a.next()
			require.Equal(t, st.String(), b.next().String())
			if s = append(s, st); len(st) == 2 {
				pairs++
				require.NotEqual(t, st[0].fault.class, st[1].fault.class)
			}
		}

		again, err := parseSchedule(s.String(), all)
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
		require.Equal(t, s.String(), s.only(s.places()).String())
	}

	require.Greater(t, pairs, 200)
}

func TestMinimise(t *testing.T) {
	t.Parallel()

	for _, needed := range [][]int{{}, {0}, {7}, {19}, {3, 4}, {0, 19}, {2, 9, 17}} {
		var all []int
		for i := range 20 {
			all = append(all, i)
		}

		runs := 0
		kept := minimise(all, func(some []int) (failed, stop bool) {
			runs++
			return !slices.ContainsFunc(needed, func(i int) bool { return !slices.Contains(some, i) }), false
		})
		require.ElementsMatch(t, needed, kept)
		require.Less(t, runs, 120)
	}

	all := []int{1, 2, 3}
	kept := minimise(all, func([]int) (failed, stop bool) { return false, true })
	require.Equal(t, all, kept, "stopped at once: nothing is known to be needless")
}

// TestUpperBound: the rule of three, and Clopper and Pearson's limits from tables.
func TestUpperBound(t *testing.T) {
	t.Parallel()
	require.InEpsilon(t, 2.9957e-9, upperBound(0, 1e9), 1e-3)
	require.InEpsilon(t, 4.7439e-6, upperBound(1, 1e6), 1e-3)
	require.InEpsilon(t, 16.962e-6, upperBound(10, 1e6), 1e-3)
	require.InDelta(t, 1, upperBound(0, 0), 0)
	require.InDelta(t, 1, upperBound(5, 5), 0)
	require.InEpsilon(t, 8.5235, nines(upperBound(0, 1e9)), 1e-3)
	require.Zero(t, nines(1))
}

// TestBoard: what one process writes another reads, and a version is due when the bound is over.
func TestBoard(t *testing.T) {
	t.Parallel()
	b, err := newBoard(4)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.remove()) }()
	other, err := openBoard(b.path, 4)
	require.NoError(t, err)

	c := &boardClock{board: b, bound: time.Second}
	o := newOracle(time.Second, 4, at(0))
	o.board = c
	o.committed(2, 5, at(0))
	o.committed(2, 4, at(1)) // old news
	o.committed(2, 7, at(500))
	cell := &other.cells[2]
	require.EqualValues(t, 7, cell.newest.Load())
	require.Zero(t, cell.due.Load())
	c.mature(at(1000))
	require.Zero(t, cell.due.Load(), "just as long as the bound is allowed")
	c.mature(at(1003))
	require.EqualValues(t, 5, cell.due.Load())
	require.Equal(t, 3*time.Millisecond, c.latency())
	c.mature(at(1501))
	require.EqualValues(t, 7, cell.due.Load())
	o.confirmed(2, 7, at(1600))
	o.confirmed(2, 5, at(1700))
	require.EqualValues(t, 7, cell.confirmed.Load())

	check := &checker{board: other, cfg: checkerConfig{Slot: 3}}
	var sum boardTally
	check.older(&sum, 2, 6, 8, 6, 0)
	require.Equal(t, boardTally{Within: 1}, sum)
	check.older(&sum, 2, 5, 8, 6, 0)
	check.older(&sum, 2, 5, 8, 6, 6)
	require.Equal(t, boardTally{Within: 1, Beyond: 1, FalseConfirms: 1}, sum)
	check.count(sum)
	require.Equal(t, sum, b.tally())
	proofs := b.proofs()
	require.Len(t, proofs, 2)
	require.Contains(t, proofs[0], "pod-3 served version 5 of key 2 from its cache, superseded for longer than the bound")
	require.Contains(t, proofs[1], "older than one that was confirmed")
}
