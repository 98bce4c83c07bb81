package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestMain makes the test binary a pod when it is started as one: pods are copies of the program that starts them.
func TestMain(m *testing.M) {
	if config := os.Getenv(podVariable); config != "" {
		os.Exit(podMain(config))
	}
	goleak.VerifyTestMain(pgtest.Main(m),
		// Toxiproxy forgets one now and then when a black hole is taken away from a connection with data in it.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}

// TestFaults is the matrix in short. For all of it: go run -C internal/lab/faults . -all.
func TestFaults(t *testing.T) {
	pgtest.RequireBinaries(t) // skips, loudly, or fails where there are none
	for _, name := range []string{"backend-terminated", "postmaster-sigkill"} {
		t.Run(name, func(t *testing.T) {
			out, err := runFlags(t, "-run", name, "-seconds", "1")
			require.NoError(t, err, out)
			require.Contains(t, out, "RESULT faults.passed 1/1")
		})
	}
}

// TestRedis is a row with a Redis behind the caches.
func TestRedis(t *testing.T) {
	pgtest.RequireBinaries(t)
	requireRedis(t)
	out, err := runFlags(t, "-run", "redis-killed", "-seconds", "1")
	require.NoError(t, err, out)
	require.Contains(t, out, "RESULT faults.passed 1/1")
	require.Contains(t, out, "hits in the tier before the fault")
}

// TestCacheControl: with a guard of the cache off the check fails.
func TestCacheControl(t *testing.T) {
	pgtest.RequireBinaries(t)
	requireRedis(t)
	i := slices.IndexFunc(controls(), func(c control) bool { return c.caches.AnySnapshot })
	r := controls()[i].run(t.Context(), options{duration: time.Second}, true)
	require.NoError(t, r.err)
	require.Positive(t, r.violations())
}

// requireRedis skips, loudly, or fails where there is none.
func requireRedis(t *testing.T) {
	t.Helper()
	what := missingRedis(options{})
	if what == "" {
		return
	}
	pgtest.Missing(t, "this test needs %s", what)
}

// TestControl: with a guard of the bus off the same check fails, and with it the command, which says what was wrong.
func TestControl(t *testing.T) {
	pgtest.RequireBinaries(t)
	i := slices.IndexFunc(controls(), func(c control) bool { return c.guards.ConfirmByNumber })
	broken := controls()[i]
	tune := broken.plan.tune
	broken.plan.tune = func(i int, c *podConfig) {
		c.Guards = broken.guards
		if tune != nil {
			tune(i, c)
		}
	}

	var out, detail bytes.Buffer
	o := options{duration: defaultDuration}
	require.False(t, o.runFaults(t.Context(), []fault{broken.fault}, &out, &detail))
	require.Contains(t, out.String(), "FAILED")
	require.Contains(t, out.String(), "RESULT faults.passed 0/1")
	require.Contains(t, detail.String(), "VIOLATION")
	require.Contains(t, detail.String(), "was confirmed")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	require.FileExists(t, installer, "what -pg needs")
	out, err := runFlags(t, "-list")
	require.NoError(t, err)

	seen := map[string]bool{}
	for _, f := range faults() {
		require.Contains(t, out, f.name)
		require.NotEmpty(t, f.about)
		require.NotNil(t, f.inject, f.name)
		require.False(t, seen[f.name], f.name)
		seen[f.name] = true
	}

	for _, c := range controls() {
		require.Contains(t, out, "control "+c.name)
		off := c.unguarded != "" || c.locks != hook.LockGuards{} || c.tells || c.guards != hook.Guards{} || c.caches != hook.CacheGuards{} || c.sessions != hook.SessionGuards{}
		require.True(t, off, c.name)
		require.Equal(t, c.session != nil, c.raises != nil, c.name)
		require.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}

	_, err = runFlags(t, "-run=nonsense")
	require.ErrorContains(t, err, `no fault or control "nonsense"`)
	_, err = runFlags(t, "-all", "-seconds=0")
	require.ErrorContains(t, err, "-seconds")
	help, err := runFlags(t)
	require.NoError(t, err)
	require.Contains(t, help, "Usage")
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tab := &table{out: &out, markdown: true}
	tab.add(result{name: "none", tally: tally{reads: 12, stale: 3}})
	tab.add(result{name: "worse", tally: tally{reads: 12, beyond: 3}, lost: 4})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Equal(t, "| none | 12 | 3 | 0 | 0 | 0 | 0 |", lines[2])
	require.Equal(t, "| worse | 12 | 0 | 3 | 4 | 0 | 0 |", lines[3])
	require.Equal(t, strings.Count(lines[0], "|"), strings.Count(lines[1], "|"))
	require.Equal(t, 1, tab.passed())
}

func runFlags(t *testing.T, args ...string) (string, error) {
	var out, detail bytes.Buffer
	err := execute(t.Context(), args, &out, &detail)
	return out.String() + detail.String(), err
}
