package arrows_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/pgcoherence/pgcoherence"

// arrows says which layers each layer may import besides itself. A layer is the
// first element of a package's path inside the module, except that the laboratory
// (internal/lab: servers for tests, faults, benchmarks) is a layer of its own. A
// package in a layer that is not listed here is a violation, so that a new layer
// gets its place first.
var arrows = map[string][]string{
	"internal":     {},
	"bus":          {"internal"},
	"cache":        {"internal", "bus"},
	"sessionstore": {"internal", "bus", "cache"},
	"lock":         {"internal", "bus"},
	"status":       {"internal", "bus", "cache", "sessionstore", "lock"},
	"cmd":          {"internal", "bus", "cache", "sessionstore", "lock", "status"},
	"lab":          {"internal", "bus", "cache", "sessionstore", "lock", "status"},
	"examples":     {"internal", "lab", "bus", "cache", "sessionstore", "lock", "status"},
}

// notLibrary lists the trees that may link test packages: they start servers for
// tests and demos, or are commands, which no package imports.
var notLibrary = []string{"internal/lab", "examples", "cmd"}

// testOnly lists the packages, with everything below them, that no library
// package may link, directly or through another one.
var testOnly = []string{
	"testing",
	"github.com/stretchr/testify",
	"go.uber.org/goleak",
	"github.com/testcontainers",
	"github.com/fergusstrange/embedded-postgres",
	"pgregory.net/rapid",
	module + "/internal/lab",
}

// pkg is the output of `go list -json` for one package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// graph maps an import path to its package, for our packages and all that they depend on.
type graph map[string]pkg

func TestImportArrows(t *testing.T) {
	t.Parallel()

	g := list(t)
	_, ok := g[module+"/bus"]
	require.True(t, ok, "go list does not list the bus, so the test would check nothing")
	require.Empty(t, violations(g), "imports against the arrows")
}

// TestViolationsAreFound checks that the rules can fail: each case adds one bad
// import to a clean graph.
func TestViolationsAreFound(t *testing.T) {
	t.Parallel()

	clean := func() graph {
		return graph{
			"testing":            {ImportPath: "testing"},
			"innocent.org/looks": {ImportPath: "innocent.org/looks"},
			"github.com/stretchr/testify/require": {
				ImportPath: "github.com/stretchr/testify/require",
				Imports:    []string{"testing"},
			},
			module + "/internal/wire":       {ImportPath: module + "/internal/wire"},
			module + "/internal/lab/pgtest": {ImportPath: module + "/internal/lab/pgtest", Imports: []string{"testing"}},
			module + "/bus": {
				ImportPath:   module + "/bus",
				Imports:      []string{module + "/internal/wire", "innocent.org/looks"},
				XTestImports: []string{module + "/internal/lab/pgtest", "testing"},
			},
			module + "/cache":         {ImportPath: module + "/cache", Imports: []string{module + "/bus"}},
			module + "/lock":          {ImportPath: module + "/lock", Imports: []string{module + "/bus"}},
			module + "/examples/pods": {ImportPath: module + "/examples/pods", Imports: []string{module + "/internal/lab/pgtest", module + "/bus"}},
		}
	}
	require.Empty(t, violations(clean()), "the clean graph")

	for name, tc := range map[string]struct {
		path, imports string
		test          bool
		want          string
	}{
		"upwards":                {module + "/bus", module + "/cache", false, "bus may not import cache"},
		"upwards from internal":  {module + "/internal/wire", module + "/bus", false, "internal may not import bus"},
		"sideways":               {module + "/cache", module + "/lock", false, "cache may not import lock"},
		"an example":             {module + "/lock", module + "/examples/pods", false, "lock may not import examples"},
		"an example from a test": {module + "/bus", module + "/examples/pods", true, "a test in bus may not import examples"},
		"a layer without place":  {module + "/extra", module + "/bus", false, "extra is not in the table"},
		"testing directly":       {module + "/cache", "testing", false, "cache -> testing"},
		"testing through others": {"innocent.org/looks", "github.com/stretchr/testify/require", false, "bus -> innocent.org/looks -> github.com/stretchr/testify/require"},
		"pgtest":                 {module + "/bus", module + "/internal/lab/pgtest", false, "bus -> internal/lab/pgtest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := clean()
			p := g[tc.path]
			p.ImportPath = tc.path
			if tc.test {
				p.XTestImports = append(p.XTestImports, tc.imports)
			} else {
				p.Imports = append(p.Imports, tc.imports)
			}
			g[tc.path] = p
			require.Contains(t, strings.Join(violations(g), "\n"), tc.want)
		})
	}
}

// violations lists every import against the rules, sorted.
func violations(g graph) []string {
	var found []string
	for path, p := range g {
		from, ours := layer(path)
		if !ours {
			continue
		}
		if _, known := arrows[from]; !known {
			found = append(found, fmt.Sprintf("%s: layer %s is not in the table of arrows", short(path), from))
		}

		for _, imp := range p.Imports {
			if to, ours := layer(imp); ours && to != from && !slices.Contains(arrows[from], to) {
				found = append(found, fmt.Sprintf("%s: %s may not import %s (%s)", short(path), from, to, short(imp)))
			}
		}

		// Tests may look upwards (a cache in a test of the bus), but not at the examples.
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, _ := layer(imp); to == "examples" && from != "examples" {
				found = append(found, fmt.Sprintf("%s: a test in %s may not import examples (%s)", short(path), from, short(imp)))
			}
		}

		if isLibrary(path) {
			if chain := chainTo(g, path); chain != nil {
				found = append(found, "a package for tests is linked: "+strings.Join(chain, " -> "))
			}
		}
	}

	slices.Sort(found)
	return found
}

// chainTo returns the shortest chain of imports from path to a test-only
// package, nil when there is none.
func chainTo(g graph, path string) []string {
	cameFrom := map[string]string{path: ""}
	for queue := []string{path}; len(queue) > 0; queue = queue[1:] {
		for _, imp := range g[queue[0]].Imports {
			if _, seen := cameFrom[imp]; seen {
				continue
			}

			cameFrom[imp] = queue[0]
			if isBelowAny(imp, testOnly) {
				var chain []string
				for at := imp; at != ""; at = cameFrom[at] {
					chain = append(chain, short(at))
				}
				slices.Reverse(chain)
				return chain
			}

			queue = append(queue, imp)
		}
	}

	return nil
}

// layer returns the layer of the package at path, false for a package of others.
func layer(path string) (string, bool) {
	rest, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return "", false
	}
	if rest == "internal/lab" || strings.HasPrefix(rest, "internal/lab/") {
		return "lab", true
	}

	first, _, _ := strings.Cut(rest, "/")
	return first, true
}

func isLibrary(path string) bool {
	return !isBelowAny(short(path), notLibrary)
}

func isBelowAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

// list reads the packages of this module and all they depend on.
func list(t *testing.T) graph {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go list: %s", stderr.String())

	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g
		}
		require.NoError(t, err)
		g[p.ImportPath] = p
	}
}
