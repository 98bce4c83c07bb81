package main

import (
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo/demotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	demotest.RequireCommandLines(t, run, []demotest.CommandLine{
		{Args: []string{"-pods", "1"}, Code: 2, Says: "-pods 1: want 2 to 16"},
		{Args: []string{"-pods", "17"}, Code: 2, Says: "-pods 17: want 2 to 16"},
		{Args: []string{"-pods", "three"}, Code: 2, Says: `invalid value "three" for flag -pods`},
		{Args: []string{"-twice"}, Code: 2, Says: "flag provided but not defined: -twice"},
		{Args: []string{"-once", "more"}, Code: 2, Says: `unexpected argument "more"`},
		{Args: []string{"-h"}, Code: 0, Says: "how many pods to start, 2 to 16 (default 3)"},
	})
}

// TestPods builds the example and runs it. Its parts run one after the other: in parallel they would only be slower.
func TestPods(t *testing.T) {
	program := demotest.Build(t, "pods")
	t.Run("once", func(t *testing.T) {
		out := program.Run(t, 2*time.Minute, "-once")
		requireNothingLeft(t, out)

		story := out.Story
		require.NotContains(t, story, "FAILED")
		require.NotContains(t, story, "NOT SHOWN")
		require.Contains(t, story, "\nEvery check held.")
		rows := regexp.MustCompile(`(?m)^(\d\. .{3,}?|total) +(\d+\.\d +){3}(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$`).FindAllStringSubmatch(story, -1)
		require.Len(t, rows, 8, "seven chapters and the total:\n%s", story)
		for _, row := range rows {
			require.NotEqual(t, "0", row[3], "reads: %s", row[0])
			require.NotEqual(t, "0", row[4], "reads from caches: %s", row[0])
			require.Equal(t, "0", row[6], "stale beyond the bound: %s", row[0])
			require.Equal(t, "0", row[7], "events lost: %s", row[0])
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		requireNothingLeft(t, program.Interrupt(t, regexp.MustCompile(`^3\.`)))
	})
	t.Run("killed", func(t *testing.T) {
		out, err := program.RunUntil(t, regexp.MustCompile(`^2\.`), syscall.SIGKILL)
		require.Error(t, err)
		requireNothingLeft(t, out)
	})
}

// requireNothingLeft checks that no pod, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, out demotest.Output) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(out.Story, -1)
	require.GreaterOrEqual(t, len(addresses), 4, "three pods and the round-robin address:\n%s", out.Story)
	demotest.RequireSilence(t, addresses)
	out.RequireNoFiles(t)
}
