package arrows_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// linked are the modules whose code is in the binary of an application that uses
// every package of the library but the adapters. A new one is a decision: each is
// something that the application has to take along.
var linked = []string{
	"github.com/beorn7/perks",
	"github.com/cespare/xxhash/v2",
	"github.com/google/uuid",
	"github.com/hashicorp/golang-lru/v2",
	"github.com/jackc/pgpassfile",
	"github.com/jackc/pgservicefile",
	"github.com/jackc/pgx/v5",
	"github.com/jackc/pgxlisten",
	"github.com/jackc/puddle/v2",
	"github.com/klauspost/compress",
	"github.com/munnerz/goautoneg",
	module,
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model",
	"github.com/prometheus/common",
	"github.com/prometheus/procfs",
	"github.com/sony/gobreaker/v2",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/text",
	"google.golang.org/protobuf",
}

// stayAway are the beginnings of modules that only tests, examples or tools need.
// Not even their names belong into the module graph of an application.
var stayAway = []string{
	"github.com/testcontainers/", "github.com/docker/", "github.com/moby/", "github.com/containerd/", "github.com/fergusstrange/",
	"github.com/lib/pq", "go.opentelemetry.io/", "github.com/spf13/", "github.com/chromedp/", "github.com/Shopify/",
	"gorm.io/", "github.com/uptrace/", "k8s.io/", "sigs.k8s.io/", "github.com/coreos/", "github.com/go-co-op/", "github.com/robfig/",
}

// guestProgram is a small application: it reads through a cache and drops the entry.
const guestProgram = `package main

import (
	"context"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	_ "github.com/pgcoherence/pgcoherence/lock"
	_ "github.com/pgcoherence/pgcoherence/sessionstore"
	_ "github.com/pgcoherence/pgcoherence/status"
)

func main() {
	b := bus.NewLocal()
	loads := 0
	load := func(context.Context, string) (cache.Loaded[int], error) {
		loads++
		return cache.Loaded[int]{Value: loads}, nil
	}
	numbers, err := cache.New(b, "numbers", cache.LoaderFunc[string, int](load), nil)
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	first, _ := numbers.Get(ctx, "a")
	again, _ := numbers.Get(ctx, "a")
	if _, err := b.Publish(ctx, bus.Event{Topic: "numbers", Keys: []string{"a"}}); err != nil {
		panic(err)
	}
	last, _ := numbers.Get(ctx, "a")
	fmt.Println(first, again, last)
}
`

// TestGuest builds and runs an application outside this repository that requires the library and nothing else, so that
// it gets the oldest version of everything that go.mod allows, and counts what comes along.
func TestGuest(t *testing.T) {
	t.Parallel()

	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	guest := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	for name, content := range map[string]string{
		"go.sum":  string(sums),
		"main.go": guestProgram,
		"go.mod": "module example.com/guest\n\ngo " + directive(t, root) + "\n\nrequire " + module + " v0.0.0\n\n" +
			"replace " + module + " => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(guest, name), []byte(content), 0o600))
	}

	binary := filepath.Join(guest, "guest")
	run(t, guest, "go", "build", "-o", binary, ".")
	require.Equal(t, "1 1 2\n", run(t, guest, binary))

	const format = "{{with .Module}}{{.Path}} {{.Version}}{{end}}"
	packages := strings.Fields(run(t, guest, "go", "list", "-deps", "-f", "{{.ImportPath}}", "."))
	require.NotEmpty(t, packages)
	got := lines(run(t, guest, "go", "list", "-deps", "-f", format, "."))
	got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "example.com/guest") })
	stated := versions(t, root)
	var names []string
	for _, line := range got {
		name, version, _ := strings.Cut(line, " ")
		names = append(names, name)
		if name != module {
			require.Equal(t, stated[name], version, "%s: go.mod states another version than a guest gets", name)
		}
	}
	require.Equal(t, linked, names, "modules whose code is linked")

	all := lines(run(t, guest, "go", "list", "-m", "-f", "{{.Path}}", "all"))
	for _, name := range all {
		require.False(t, hasAnyPrefix(name, stayAway), "%s is in the module graph of a guest", name)
	}
	edges := lines(run(t, guest, "go", "mod", "graph"))
	info, err := os.Stat(binary)
	require.NoError(t, err)
	t.Logf("a guest's module graph: %d modules, %d edges; linked: %d modules, %d packages; binary %.1f MB",
		len(all), len(edges), len(names), len(packages), float64(info.Size())/1e6)
}

// directive is the language version of go.mod.
func directive(t *testing.T, root string) string {
	t.Helper()
	return strings.TrimSpace(run(t, root, "go", "list", "-m", "-f", "{{.GoVersion}}"))
}

// versions are the requirements of go.mod, direct and indirect.
func versions(t *testing.T, root string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	stated := map[string]string{}
	for _, line := range lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && strings.HasPrefix(fields[1], "v") {
			stated[fields[0]] = fields[1]
		}
	}
	require.NotEmpty(t, stated)
	return stated
}

// run runs a program in a directory as a machine without our settings would, and returns what it wrote.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), stderr.String())
	return string(out)
}

// lines are the different lines of a text, sorted.
func lines(text string) []string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(line string) bool { return line == "" })
}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
