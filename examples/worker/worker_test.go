//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo/demotest"
	"github.com/pgcoherence/pgcoherence/lock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	demotest.RequireCommandLines(t, run, []demotest.CommandLine{
		{Args: []string{"-twice"}, Code: 2, Says: "flag provided but not defined: -twice"},
		{Args: []string{"-once", "more"}, Code: 2, Says: `unexpected argument "more"`},
		{Args: []string{"-once", "-unguarded"}, Code: 2, Says: "whose story has both"},
		{Args: []string{"-h"}, Code: 0, Says: "play the story and exit"},
	})
}

// TestVerdict: each run fails unless it shows what it is for.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		total     shardRow
		unguarded bool
		ok        bool
		says      string
	}{
		"guarded":                     {shardRow{jobs: 9, refused: 1}, false, true, "every one of 9 jobs was written once; one late write was refused"},
		"guarded, several refused":    {shardRow{jobs: 9, refused: 2}, false, true, "2 late writes were refused"},
		"guarded, nothing refused":    {shardRow{jobs: 9}, false, false, "shows nothing"},
		"guarded, and written twice":  {shardRow{jobs: 9, refused: 1, twice: 1}, false, false, "1 jobs were written by two owners: proof"},
		"unguarded, written twice":    {shardRow{jobs: 9, twice: 2}, true, true, "2 of 9 jobs were written by two owners: proof"},
		"unguarded, nothing happened": {shardRow{jobs: 9}, true, false, "shows nothing"},
		"no work":                     {shardRow{refused: 1}, false, false, "no job was done"},
	} {
		text, ok := (&summary{total: tc.total, proof: "proof"}).verdict(tc.unguarded)
		require.Equal(t, tc.ok, ok, name)
		require.Contains(t, text, tc.says, name)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	require.Equal(t, "no shard", list(nil))
	require.Equal(t, "shard 3", list(map[int]lock.Info{3: {}}))
	require.Equal(t, "shards 0, 2 and 5", list(map[int]lock.Info{5: {}, 0: {}, 2: {}}))
}

// TestWorker builds the example and runs it as a person would.
func TestWorker(t *testing.T) {
	program := demotest.Build(t, "worker")
	t.Run("once", func(t *testing.T) {
		out := program.Run(t, 4*time.Minute, "-once")
		requireNothingLeft(t, out, 6)

		story := out.Story
		require.NotContains(t, story, "FAILED")
		require.Contains(t, story, "\nBoth came out as they must")
		require.Equal(t, 2, strings.Count(story, "kill -9 "), story)
		require.GreaterOrEqual(t, strings.Count(story, "SIGSTOP "), 2, story)
		totals := regexp.MustCompile(`(?m)^ *total +(\d+)(?: +\d+){4} +(\d+) +(\d+) *$`).FindAllStringSubmatch(story, -1)
		require.Len(t, totals, 2, story)
		guarded, unguarded := totals[0], totals[1]
		require.NotEqual(t, "0", guarded[1], "jobs")
		require.NotEqual(t, "0", guarded[2], "refused")
		require.Equal(t, "0", guarded[3], "written by two owners, with Guard")
		require.Equal(t, "0", unguarded[2], "refused, without Guard")
		require.NotEqual(t, "0", unguarded[3], "written by two owners, without Guard")
	})
	t.Run("interrupted", func(t *testing.T) {
		requireNothingLeft(t, program.Interrupt(t, regexp.MustCompile("kill -9"), "-once"), 3)
	})
	t.Run("killed", func(t *testing.T) {
		out, err := program.RunUntil(t, regexp.MustCompile("take turns"), syscall.SIGKILL, "-once")
		require.Error(t, err)
		requireNothingLeft(t, out, 3)
	})
	t.Run("stays up", func(t *testing.T) {
		out := program.Interrupt(t, regexp.MustCompile("total"))
		require.Contains(t, out.Story, "written by two owners")
		requireNothingLeft(t, out, 3)
	})
}

// requireNothingLeft checks that no worker, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, out demotest.Output, workers int) {
	t.Helper()
	found := regexp.MustCompile(`process (\d+)`).FindAllStringSubmatch(out.Story, -1)
	require.Len(t, found, workers, "%s", out.Story)
	for _, m := range found {
		pid, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.Eventually(t, func() bool { return gone(pid) }, 20*time.Second, 20*time.Millisecond, "worker %d is still there", pid)
	}
	out.RequireNoFiles(t)
}

// gone reports whether a process has ended. One whose parent was killed may stay as a zombie where nobody reaps it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
