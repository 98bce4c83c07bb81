package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBenchVerdict: figures put into words, and a hint where they are bad.
func TestBenchVerdict(t *testing.T) {
	t.Parallel()
	require.Equal(t, "invalidating in the transaction costs 10 % of the commits, a NOTIFY in it costs 60 % of the commits", verdictOf(benchResult{Bare: 1000, Ours: 900, Notify: 400}))
	require.Equal(t, "invalidating in the transaction costs nothing that could be measured, a NOTIFY in it costs 50 % of the commits", verdictOf(benchResult{Bare: 1000, Ours: 1270, Notify: 500}))
	require.Contains(t, verdictOf(benchResult{Bare: 1000, Ours: 500, Notify: 100}), "run doctor")
}
