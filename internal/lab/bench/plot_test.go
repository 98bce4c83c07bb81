package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// exampleCharts has a chart of each kind.
func exampleCharts() *report {
	r := &report{Command: "example"}
	r.chart(chart{Name: "lines", Title: "Transactions per second", Panels: []panel{
		{Kind: kindLines, Title: "no flush", X: "writers", Y: "÷ the update alone", LogX: true, Lines: []series{
			{Name: "ours", X: []float64{1, 8, 64}, Y: []float64{0.9, 0.85, 0.8}},
			{Name: "pg_notify in the transaction", X: []float64{1, 8, 64}, Y: []float64{0.8, 0.5, 0.3}},
		}},
		{Kind: kindLines, Title: "2 ms", X: "writers", LogX: true, LogY: true, Lines: []series{
			{Name: "ours", X: []float64{1, 8, 64}, Y: []float64{0.9, 0.85, 0.8}},
			{Name: "ours, fitted", Dashed: true, X: []float64{1, 8, 64}, Y: []float64{0.9, 0.84, 0.81}},
			{Name: "pg_notify in the transaction", X: []float64{1, 8, 64}, Y: []float64{0.8, 0.1, 0.03}},
		}},
	}})

	r.chart(chart{Name: "steps", Title: "Delay", Panels: []panel{{
		Kind: kindSteps, X: "ms", Y: "% of events", LogX: true,
		Lines: []series{cdf("ours", []float64{0.3, 0.4, 0.5, 1.2}), cdf("polling", []float64{20, 50, 80, 100})},
	}}})
	r.chart(chart{Name: "dots", Title: "Hit ratio", Panels: []panel{{
		Kind: kindDots, X: "% of reads", Labels: []string{"zipf", "scan", "loop"},
		Lines: []series{{Name: "ours", Y: []float64{70, 60, 50}}, {Name: "otter", Y: []float64{69, 58, 52}}},
	}}})
	r.chart(chart{Name: "heat", Title: "Stale reads", Panels: []panel{{
		Kind: kindHeat, Labels: []string{"listener ended", "black hole"},
		Lines: []series{{Name: "ours", Y: []float64{0, 0}}, {Name: "otter, TTL of 1 s", Y: []float64{1200, -1}}, {Name: "lib/pq + LRU", Y: []float64{31, 150_000}}},
	}}})
	return r
}

// TestPlot: every kind of chart is drawn in both formats, and twice the same: the documentation's test relies on it.
func TestPlot(t *testing.T) {
	t.Parallel()
	directory := os.Getenv("BENCH_PLOT_DIR") // to look at
	if directory == "" {
		directory = t.TempDir()
	}

	all := &run{Reports: []*report{exampleCharts()}}
	require.NoError(t, all.plot(directory))
	again := t.TempDir()
	require.NoError(t, all.plot(again))

	for _, c := range all.Reports[0].Charts {
		svg, err := os.ReadFile(filepath.Join(directory, c.Name+".svg"))
		require.NoError(t, err)
		require.Contains(t, string(svg), "</svg>")
		same, err := os.ReadFile(filepath.Join(again, c.Name+".svg"))
		require.NoError(t, err)
		require.Equal(t, string(svg), string(same))
		png, err := os.ReadFile(filepath.Join(directory, c.Name+".png"))
		require.NoError(t, err)
		require.Greater(t, len(png), 5000)
	}
}
