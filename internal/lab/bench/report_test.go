package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func exampleReport() *report {
	r := &report{
		Command:    "write",
		Parameters: map[string]any{"rounds": 3},
		Counts:     map[string]any{"bus": "3 published"},
		Environment: environment{
			Postgres: "17.1", Settings: map[string]string{"fsync": "on", "autovacuum": "on"}, Kind: "binaries",
			CPUs: 2, Go: "go1.25.0", Platform: "linux/amd64", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}

	f := newFigure("write.ssd.32.ours", "tx/s", []float64{8000, 9000, 8500})
	r.add(f)
	r.row("disk", "tx/s")
	r.row("ssd", f.summary)
	r.result("write.ratio.ssd", 0.8824)
	r.result("write.vs_notify.2ms", 22.123)
	return r
}

// The golden files are what people and programs read. UPDATE=1 go test writes
// them anew.
func TestGolden(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.json")
	var out bytes.Buffer
	require.NoError(t, exampleReport().print(&out))
	require.NoError(t, writeJSON(file, exampleReport()))
	text, err := os.ReadFile(file)
	require.NoError(t, err)

	for name, got := range map[string][]byte{"report.txt": out.Bytes(), "report.json": text} {
		golden := filepath.Join("testdata", name)
		if os.Getenv("UPDATE") != "" {
			require.NoError(t, os.WriteFile(golden, got, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestUnwritableFileIsAnError(t *testing.T) {
	t.Parallel()
	err := (&options{json: filepath.Join(t.TempDir(), "no", "such", "directory")}).publish(new(bytes.Buffer), &run{Reports: []*report{exampleReport()}})
	require.ErrorContains(t, err, "report: ")
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]float64{
		"0.882": 0.88249, "1.00": 1, "22.1": 22.123, "9774": 9774.4, "0.000": 0, "-0.025": -0.025, "-3.10": -3.1,
	} {
		require.Equal(t, want, number(v))
	}
}
