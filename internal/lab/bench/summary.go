package main

import (
	"fmt"
	"math"
	"slices"
)

// summary is what the rounds of a figure come to.
type summary struct {
	Value float64 `json:"value"` // the median of the rounds, if the figure says nothing else
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}

// summarize takes at least one value.
func summarize(values []float64) summary {
	return summary{Value: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// median is the middle value, or the mean of the two in the middle. Of nothing
// it is NaN.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile is by nearest rank: the smallest value that at least p percent of
// all do not exceed, so it is always one that was measured. Of nothing it is NaN.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p / 100 * float64(n)))
	return sorted[min(max(rank, 1), n)-1]
}

// ratios divides value by value: what was measured in one round is compared
// within that round, so a disturbance that lasts for longer than a round does
// not count.
func ratios(values, base []float64) ([]float64, error) {
	if len(values) != len(base) || len(values) == 0 {
		return nil, fmt.Errorf("ratio of %d rounds to %d", len(values), len(base))
	}
	out := make([]float64, len(values))
	for i := range values {
		if base[i] == 0 {
			return nil, fmt.Errorf("ratio to nothing in round %d", i+1)
		}
		out[i] = values[i] / base[i]
	}
	return out, nil
}
