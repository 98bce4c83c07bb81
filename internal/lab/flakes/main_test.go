package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCount: what go test -json says is counted by test, and the first failure's output is kept.
func TestCount(t *testing.T) {
	t.Parallel()
	p := &pkg{Tests: map[string]*test{}}
	rest := p.read(strings.NewReader(`# compiler
{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"first\n"}
{"Action":"fail","Test":"TestA","Elapsed":1.5}
{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"second\n"}
{"Action":"fail","Test":"TestA","Elapsed":0.5}
{"Action":"run","Test":"TestA"}
{"Action":"pass","Test":"TestA","Elapsed":0.1}
{"Action":"run","Test":"TestB"}
{"Action":"skip","Test":"TestB"}
{"Action":"output","Output":"FAIL\n"}
{"Action":"fail"}
`))
	require.Equal(t, "# compiler\nFAIL\n", rest)
	require.Equal(t, 4, p.Runs)
	require.Equal(t, 2, p.Failures)
	require.Equal(t, &test{Runs: 3, Failed: 2, Slowest: 1.5, Output: "first\n"}, p.Tests["TestA"])
	require.Equal(t, &test{Runs: 1, Skipped: 1}, p.Tests["TestB"])
	require.Equal(t, []string{"TestA"}, p.flaky())
}

// TestRun: a package that fails is told, one that passes as well, and the report can be read.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/flaky\n\ngo 1.26\n")
	write("a_test.go", "package flaky\n\nimport \"testing\"\n\nvar n int\n\n"+
		"func TestSometimes(t *testing.T) {\n\tif n++; n == 2 {\n\t\tt.Fatal(\"the second time\")\n\t}\n}\n\nfunc TestAlways(*testing.T) {}\n")
	p := &pkg{Directory: dir, Tests: map[string]*test{}}
	p.test(t.Context(), options{count: 3, timeout: 1e11})
	require.Empty(t, p.Error)
	require.Equal(t, 6, p.Runs)
	require.Equal(t, 1, p.Tests["TestSometimes"].Failed)
	require.Contains(t, p.Tests["TestSometimes"].Output, "the second time")

	r := report{}
	r.add(p)
	file := filepath.Join(dir, "out", "flakes.json")
	require.NoError(t, r.write(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var again report
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, 1, again.Failures)

	write("b_test.go", "package flaky\n\nbroken\n")
	p = &pkg{Directory: dir, Tests: map[string]*test{}}
	p.test(t.Context(), options{count: 1, timeout: 1e11})
	require.Equal(t, 1, p.Failures)
	require.Contains(t, p.Error, "broken")
}

// TestPackages: packages of all modules are found, from the root.
func TestPackages(t *testing.T) {
	t.Chdir("../../..")
	all, err := packages(t.Context(), regexp.MustCompile("wire$|faults$"))
	require.NoError(t, err)
	var names []string
	for _, p := range all {
		names = append(names, p.Directory)
	}
	require.ElementsMatch(t, []string{"internal/wire", "internal/lab/faults"}, names)
}
