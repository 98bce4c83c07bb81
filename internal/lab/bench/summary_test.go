package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		in   []float64
		want float64
	}{
		"one":      {[]float64{7}, 7},
		"two":      {[]float64{7, 1}, 4},
		"odd":      {[]float64{9, 1, 5}, 5},
		"even":     {[]float64{4, 1, 3, 2}, 2.5},
		"outlier":  {[]float64{1, 1, 1000}, 1},
		"negative": {[]float64{-3, -1, -2}, -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := append([]float64(nil), tc.in...)
			require.InDelta(t, tc.want, median(in), 1e-12)
			require.Equal(t, tc.in, in, "the order of the rounds is kept")
		})
	}

	require.True(t, math.IsNaN(median(nil)))
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100) // 100, 99 … 1
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}

	for name, tc := range map[string]struct {
		in   []float64
		p    float64
		want float64
	}{
		"smallest":             {hundred, 0, 1},
		"first":                {hundred, 1, 1},
		"middle":               {hundred, 50, 50},
		"between two ranks":    {hundred, 98.5, 99},
		"99 of 100":            {hundred, 99, 99},
		"largest":              {hundred, 100, 100},
		"more than all":        {hundred, 200, 100},
		"99 of few is the max": {[]float64{1, 3, 2}, 99, 3},
		"of two the lower":     {[]float64{2, 1}, 50, 1},
		"one":                  {[]float64{7}, 90, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.InDelta(t, tc.want, percentile(tc.in, tc.p), 1e-12)
		})
	}

	require.True(t, math.IsNaN(percentile(nil, 50)))
}

func TestRatios(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values, base, want []float64
		err                string
	}{
		"pairs":            {values: []float64{1, 9}, base: []float64{2, 3}, want: []float64{0.5, 3}},
		"nothing":          {err: "ratio of 0 rounds to 0"},
		"one is missing":   {values: []float64{1, 2}, base: []float64{1}, err: "ratio of 2 rounds to 1"},
		"a base of zero":   {values: []float64{1, 2}, base: []float64{1, 0}, err: "ratio to nothing in round 2"},
		"a value of zero":  {values: []float64{0}, base: []float64{2}, want: []float64{0}},
		"same disturbance": {values: []float64{90, 9}, base: []float64{100, 10}, want: []float64{0.9, 0.9}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ratios(tc.values, tc.base)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}

			require.NoError(t, err)
			require.InDeltaSlice(t, tc.want, got, 1e-12)
		})
	}
}

// TestPairedRatio shows why rounds are compared one by one: when the machine was
// ten times slower in most of the rounds of one side, by chance, medians alone
// would say so of the variant.
func TestPairedRatio(t *testing.T) {
	t.Parallel()
	rates := rateTable{}
	for _, speed := range []float64{1, 10, 10, 1, 10} {
		rates.add("ssd", 32, "bare", 1000*speed)
		rates.add("ssd", 32, "ours", 900*speed)
	}

	values, err := rates.ratio("ssd", 32, "ours", "bare")
	require.NoError(t, err)
	s := summarize(values)
	require.InDelta(t, 0.9, s.Value, 1e-12)
	require.InDelta(t, 0.9, s.Min, 1e-12)
	require.InDelta(t, 0.9, s.Max, 1e-12)
	_, err = rates.ratio("ssd", 8, "ours", "bare")
	require.ErrorContains(t, err, "ssd with 8 writers: ours to bare")
}
