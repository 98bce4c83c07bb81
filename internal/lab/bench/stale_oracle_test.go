package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStaleRow: a version is right until a later one is there for certain, whoever tried to write one meanwhile; what
// nobody wrote is an error.
func TestStaleRow(t *testing.T) {
	t.Parallel()
	var row staleRow
	age := func(version int64, begun time.Time) time.Duration {
		t.Helper()
		d, err := row.age(version, begun)
		require.NoError(t, err)
		return d
	}
	require.Zero(t, age(0, time.Now()))
	require.Equal(t, int64(1), row.begin())
	require.Zero(t, age(0, time.Now()), "nobody knows yet whether it is committed")
	require.Zero(t, age(1, time.Now()))
	row.committed(1)
	require.InDelta(t, time.Minute, age(0, time.Now().Add(time.Minute)), float64(time.Second))
	require.Zero(t, age(1, time.Now().Add(time.Minute)))

	row.begin() // its commit is not known of
	row.begin()
	require.Zero(t, age(1, time.Now().Add(time.Minute)))
	row.committed(3)
	require.Positive(t, age(1, time.Now().Add(time.Minute)))
	require.Positive(t, age(2, time.Now().Add(time.Minute)))
	require.Zero(t, age(3, time.Now().Add(time.Minute)))
	_, err := row.age(4, time.Now())
	require.ErrorContains(t, err, "version 4 was read")
}

// TestStaleTally: what is younger than the grace is not stale, and what is older than the bound is late.
func TestStaleTally(t *testing.T) {
	t.Parallel()
	var tally staleTally
	for _, age := range []time.Duration{-time.Second, 0, grace, grace + 1, time.Second, 4 * time.Second} {
		tally.read(age, 3*time.Second)
	}
	tally.refuse()
	tally.changed(2)
	require.Equal(t, 6, tally.checked)
	require.Equal(t, 3, tally.stale)
	require.Equal(t, 1, tally.late)
	require.Equal(t, 4*time.Second, tally.worst)
	require.Equal(t, 1, tally.refused)
	require.Equal(t, 2, tally.failed)

	sum := &staleTally{worst: time.Hour}
	sum.add(&tally)
	require.Equal(t, 3, sum.stale)
	require.Equal(t, time.Hour, sum.worst)
}
