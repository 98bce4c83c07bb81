package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPercentileRow(t *testing.T) {
	t.Parallel()
	r := new(report)
	var values []float64
	for i := range 100 {
		values = append(values, float64(i+1))
	}
	require.Equal(t, []float64{50, 90, 99, 100}, percentileRow(r, "ours", "some.name", values))
	require.Equal(t, [][]any{{
		"ours", 100, summary{50, 10, 90}, summary{90, 18, 98}, summary{99, 20, 100}, summary{100, 20, 100},
	}}, r.rows)
	require.Equal(t, "some.name.p90_ms", r.Figures[1].Name)
	require.Len(t, r.Figures[1].Rounds, percentileParts)

	few := new(report) // than parts
	require.Equal(t, []float64{1, 2, 2, 2}, percentileRow(few, "ours", "some.name", []float64{2, 1}))
}
