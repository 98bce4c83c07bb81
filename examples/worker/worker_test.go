//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-twice"}, 2, "flag provided but not defined: -twice"},
		{[]string{"-once", "more"}, 2, `unexpected argument "more"`},
		{[]string{"-once", "-unguarded"}, 2, "whose story has both"},
		{[]string{"-h"}, 0, "play the story and exit"},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &stdout, &stderr), "%q", tc.args)
		require.Contains(t, stderr.String(), tc.says)
		require.Empty(t, stdout.String())
		if tc.code != 0 {
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line: %q", stderr.String())
		}
	}
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
	pgtest.RequireBinaries(t)
	program := filepath.Join(t.TempDir(), "worker")
	build := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", program, "."})...)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	t.Run("once", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		cmd, tmp := command(ctx, t, program, "-once")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		story := string(out)
		require.NoError(t, err, "%s\n%s", story, stderr.String())
		requireNothingLeft(t, story, tmp, 6)

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
		story, tmp, err := runUntil(t, program, "kill -9", os.Interrupt, "-once")
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitInterrupted, exit.ExitCode())
		requireNothingLeft(t, story, tmp, 3)
	})
	t.Run("killed", func(t *testing.T) {
		story, tmp, err := runUntil(t, program, "take turns", syscall.SIGKILL, "-once")
		require.Error(t, err)
		requireNothingLeft(t, story, tmp, 3)
	})
	t.Run("stays up", func(t *testing.T) {
		story, tmp, err := runUntil(t, program, "total", os.Interrupt)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitInterrupted, exit.ExitCode())
		require.Contains(t, story, "written by two owners")
		requireNothingLeft(t, story, tmp, 3)
	})
}

// command is a run of the example with a directory for temporary files of its own.
func command(ctx context.Context, t *testing.T, program string, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	// Not t.TempDir: like /tmp, it has to let the server's user in, and remove its own files.
	tmp, err := os.MkdirTemp("", "worker")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })
	require.NoError(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	cmd = exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

// runUntil sends a signal to the example when a line of it contains a text, and answers what it said until it ended.
func runUntil(t *testing.T, program, text string, signal os.Signal, args ...string) (story, tmp string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd, tmp := command(ctx, t, program, args...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stdout, &said))
	sent := false
	for lines.Scan() {
		if !sent && strings.Contains(lines.Text(), text) {
			sent = true
			require.NoError(t, cmd.Process.Signal(signal))
		}
	}
	require.NoError(t, lines.Err())
	require.True(t, sent, said.String())
	return said.String(), tmp, cmd.Wait()
}

// requireNothingLeft checks that no worker, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, story, tmp string, workers int) {
	t.Helper()
	found := regexp.MustCompile(`process (\d+)`).FindAllStringSubmatch(story, -1)
	require.Len(t, found, workers, "%s", story)
	for _, m := range found {
		pid, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.Eventually(t, func() bool { return gone(pid) }, 20*time.Second, 20*time.Millisecond, "worker %d is still there", pid)
	}
	// The server's directory goes last, when it has ended.
	require.Eventually(t, func() bool {
		left, err := os.ReadDir(tmp)
		return err == nil && len(left) == 0
	}, 20*time.Second, 50*time.Millisecond, "temporary files are left")
}

// gone says whether a process has ended. One whose parent was killed may stay as a zombie where nobody reaps it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
