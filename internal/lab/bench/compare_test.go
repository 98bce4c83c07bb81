package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func compareRun(t *testing.T, figures ...figure) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	require.NoError(t, writeJSON(file, &run{Reports: []*report{{Command: "hit", Figures: figures}}}))
	return file
}

// TestCompare: figures of ours by unit, direction, size of the change, noise and number of runs.
func TestCompare(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		old, now []figure // one for each run
		want     string
		slower   bool
	}{
		"a ratio that got worse": {
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.50, 0.51, 0.52})},
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.60, 0.61, 0.62})},
			"1 slower", true,
		},
		"a ratio that is better when it is higher": {
			[]figure{newFigure("write.ratio.ssd", "ratio", []float64{0.80, 0.81, 0.82})},
			[]figure{newFigure("write.ratio.ssd", "ratio", []float64{0.70, 0.71, 0.72})},
			"1 slower", true,
		},
		"better": {
			[]figure{newFigure("write.ratio.ssd", "ratio", []float64{0.70, 0.71, 0.72})},
			[]figure{newFigure("write.ratio.ssd", "ratio", []float64{0.80, 0.81, 0.82})},
			"0 slower, 1 faster", false,
		},
		"within the spread of the rounds": {
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.40, 0.50, 0.70})},
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.45, 0.60, 0.80})},
			"0 slower, 0 faster", false,
		},
		"less than the threshold": {
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.500, 0.501, 0.502})},
			[]figure{newFigure("hit.ratio.otter.8", "ratio", []float64{0.520, 0.521, 0.522})},
			"0 slower, 0 faster", false,
		},
		"a time in two runs each": {
			[]figure{newFigure("hit.ns.ours.1", "ns", []float64{50, 51}), newFigure("hit.ns.ours.1", "ns", []float64{52, 53})},
			[]figure{newFigure("hit.ns.ours.1", "ns", []float64{60, 61}), newFigure("hit.ns.ours.1", "ns", []float64{70, 71})},
			"1 slower", true,
		},
		"one run of the new side as fast as before": {
			[]figure{newFigure("hit.ns.ours.1", "ns", []float64{50, 51}), newFigure("hit.ns.ours.1", "ns", []float64{52, 53})},
			[]figure{newFigure("hit.ns.ours.1", "ns", []float64{51, 52}), newFigure("hit.ns.ours.1", "ns", []float64{70, 71})},
			"0 slower, 0 faster", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args [2]string
			for side, figures := range [][]figure{one.old, one.now} {
				for _, f := range figures {
					if args[side] != "" {
						args[side] += ","
					}
					args[side] += compareRun(t, f)
				}
			}

			var out bytes.Buffer
			err := execute(t.Context(), []string{"compare", args[0], args[1]}, &out)
			require.Contains(t, out.String(), one.want)

			if one.slower {
				require.ErrorIs(t, err, errSlower)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// TestCompareNothing: sides without a common figure are an error, and not a success.
func TestCompareNothing(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]figure{
		"a peer's":               newFigure("hit.ns.otter.1", "ns", []float64{1}),
		"a time in a single run": newFigure("hit.ns.ours.1", "ns", []float64{1}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := compareRun(t, f)
			err := execute(t.Context(), []string{"compare", file, file}, new(bytes.Buffer))
			require.ErrorContains(t, err, "no figure in common")
			require.NotErrorIs(t, err, errSlower)
		})
	}
}
