package main

import "fmt"

// percentileParts is into how many parts a run is cut, to show how they differ.
const percentileParts = 5

var percentiles = []float64{50, 90, 99, 100}

// percentileHeads are the heads of the columns that percentileRow adds.
var percentileHeads = []any{"p50", "p90", "p99", "max"}

// percentileRow adds a row for values in the order of time, in milliseconds: how
// many there are, and their percentiles, which it answers. The spread is that of
// the same percentile in the parts of the run.
func percentileRow(r *report, title, name string, values []float64) []float64 {
	cells, answer := percentileCells(r, name, values)
	r.row(append([]any{title, len(values)}, cells...)...)
	return answer
}

// percentileCells adds the figures, but no row.
func percentileCells(r *report, name string, values []float64) (cells []any, answer []float64) {
	for _, p := range percentiles {
		var parts []float64
		n := min(percentileParts, len(values))
		for part := range n {
			parts = append(parts, percentile(values[part*len(values)/n:(part+1)*len(values)/n], p))
		}
		f := newFigure(fmt.Sprintf("%s.p%g_ms", name, p), "ms", parts)
		f.Value = percentile(values, p)
		r.add(f)
		cells, answer = append(cells, f.summary), append(answer, f.Value)
	}
	return cells, answer
}
