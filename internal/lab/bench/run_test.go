package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMergeRuns: files of bench all and of single measurements come together, the later one's report counts, and figures
// of two machines are refused.
func TestMergeRuns(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	single := func(command string, value float64) *report {
		r := &report{Command: command}
		r.add(newFigure(command+".figure", "ms", []float64{value}))
		return r
	}
	write := func(name string, content any) string {
		file := filepath.Join(directory, name)
		require.NoError(t, writeJSON(file, content))
		return file
	}
	here := machine{Processor: "A", CPUs: 2}
	first := write("first.json", &run{
		Command: "bench all", Date: at(2), Machine: here, Versions: map[string]string{"Go": "1.26", "Redis": "7.0"},
		Reports: []*report{single("lock", 1), single("write", 2)},
	})
	second := write("second.json", &run{Date: at(3), Machine: here, Versions: map[string]string{"Go": "1.27"}, Reports: []*report{single("write", 3)}})
	alone := write("single.json", single("hit", 4))

	merged, err := mergeRuns([]string{first, second, alone})
	require.NoError(t, err)
	var order []string
	for _, r := range merged.Reports {
		order = append(order, r.Command)
	}
	require.Equal(t, []string{"write", "hit", "lock"}, order)
	f, ok := merged.figure("write.figure")
	require.True(t, ok)
	require.InDelta(t, 3, f.Value, 0)
	require.Equal(t, at(3), merged.Date)
	require.Equal(t, map[string]string{"Go": "1.27", "Redis": "7.0"}, merged.Versions)

	other := write("other.json", &run{Machine: machine{Processor: "B", CPUs: 2}, Reports: []*report{single("fill", 5)}})
	_, err = mergeRuns([]string{first, other})
	require.ErrorContains(t, err, "measured on")
	_, err = mergeRuns([]string{write("empty.json", map[string]any{})})
	require.ErrorContains(t, err, "no reports")
}

// TestAll runs two measurements one after the other, and writes all there is to write.
func TestAll(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	var o options
	o.short, o.json, o.markdown, o.plot = true, at("run.json"), at("run.md"), at("plots")
	var out bytes.Buffer

	fake := func(name string) *report {
		r := exampleCharts()
		r.Command = name
		r.row("what", "ms")
		r.row("a row", 1)
		r.result(name+".result", 1.5)
		return r
	}
	all := &run{Command: "bench all", Machine: readMachine(), Reports: []*report{fake("write"), fake("hit")}}
	require.NoError(t, o.write(all))
	require.NoError(t, all.print(&out))
	require.Contains(t, out.String(), "RESULT write.result 1.50\n")
	require.Regexp(t, `hit +hit.result +1.50`, out.String())
	back, err := readRun(o.json)
	require.NoError(t, err)
	require.Equal(t, [][]string{{"what", "ms"}, {"a row", "1"}}, back.Reports[0].cells())
	require.Equal(t, all.Reports[0].Charts, back.Reports[0].Charts)
	text, err := os.ReadFile(o.markdown)
	require.NoError(t, err)
	require.Contains(t, string(text), "| what | ms |\n|---|--:|\n| a row | 1 |\n")
	_, err = os.Stat(at("plots/heat.png"))
	require.NoError(t, err)
}

// TestChosen: names are checked before anything is measured.
func TestChosen(t *testing.T) {
	t.Parallel()
	names, err := chosen(nil, []string{"session", "lock"})
	require.NoError(t, err)
	require.Len(t, names, len(measurements(new(options)))-2)
	names, err = chosen([]string{"hit", "write"}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"write", "hit"}, names)

	for _, bad := range []struct{ only, without []string }{{[]string{"writes"}, nil}, {nil, []string{"x"}}, {[]string{"hit"}, []string{"hit"}}} {
		_, err = chosen(bad.only, bad.without)
		require.Error(t, err)
	}

	for _, name := range names {
		require.Contains(t, expected, name)
	}
}

// TestExpected: the bar knows how long each measurement takes.
func TestExpected(t *testing.T) {
	t.Parallel()
	for _, c := range measurements(new(options)) {
		require.Positive(t, expected[c.Name()].short, c.Name())
		require.GreaterOrEqual(t, expected[c.Name()].long, expected[c.Name()].short, c.Name())
	}
}

// TestMergeParts: reports of different parts of a measurement become one; of the same part the later counts.
func TestMergeParts(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	write := func(part string, value float64) string {
		r := &report{Command: "growth", Typed: "bench growth -parts " + part, Parts: []string{part}, Counts: map[string]any{part: value}}
		r.row("what", "how much")
		r.row(part, value)
		r.add(newFigure("growth."+part, "ms", []float64{value}))
		r.result("growth."+part, value)
		r.chart(chart{Name: "growth", Panels: []panel{{Lines: []series{{Name: part, X: []float64{1}, Y: []float64{value}}}}}})
		file := filepath.Join(directory, fmt.Sprint(part, value))
		require.NoError(t, writeJSON(file, &run{Command: r.Typed, Reports: []*report{r}}))
		return file
	}

	merged, err := mergeRuns([]string{write("keys", 1), write("log", 2)})
	require.NoError(t, err)
	require.Equal(t, "bench growth -parts keys; bench growth -parts log", merged.Command)
	require.Len(t, merged.Reports, 1)
	r := merged.Reports[0]
	require.Equal(t, merged.Command, r.Typed)
	require.Equal(t, [][]string{{"what", "how much"}, {"keys", "1"}, {"log", "2"}}, r.cells())
	require.Equal(t, []string{"growth.keys", "growth.log"}, resultNames(r))
	require.Len(t, r.Charts, 1)
	require.Len(t, r.Charts[0].Panels[0].Lines, 2)
	require.Len(t, r.Counts, 2)

	merged, err = mergeRuns([]string{write("keys", 1), write("keys", 3)})
	require.NoError(t, err)
	require.Equal(t, [][]string{{"what", "how much"}, {"keys", "3"}}, merged.Reports[0].cells())
}
