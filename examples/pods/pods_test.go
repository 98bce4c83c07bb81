package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-pods", "1"}, 2, "-pods 1: want 2 to 16"},
		{[]string{"-pods", "17"}, 2, "-pods 17: want 2 to 16"},
		{[]string{"-pods", "three"}, 2, `invalid value "three" for flag -pods`},
		{[]string{"-twice"}, 2, "flag provided but not defined: -twice"},
		{[]string{"-once", "more"}, 2, `unexpected argument "more"`},
		{[]string{"-h"}, 0, "how many pods to start, 2 to 16 (default 3)"},
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

// TestPods builds the example and runs it as a person would. Its parts come one after the other: together they would
// only be slower.
func TestPods(t *testing.T) {
	pgtest.RequireBinaries(t)
	program := filepath.Join(t.TempDir(), "pods")
	build := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", program, "."})...)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	t.Run("once", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd, tmp := command(ctx, t, program, "-once")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		story := string(out)
		require.NoError(t, err, "%s\n%s", story, stderr.String())
		requireNothingLeft(t, story, tmp)

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
		story, tmp, err := runUntilChapter(t, program, "3.", os.Interrupt)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitInterrupted, exit.ExitCode())
		requireNothingLeft(t, story, tmp)
	})
	t.Run("killed", func(t *testing.T) {
		story, tmp, err := runUntilChapter(t, program, "2.", syscall.SIGKILL)
		require.Error(t, err)
		requireNothingLeft(t, story, tmp)
	})
}

// command is a run of the example with a directory for temporary files of its own.
func command(ctx context.Context, t *testing.T, program string, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	// Not t.TempDir: like /tmp, it has to let the server's user in, and remove its own files.
	tmp, err := os.MkdirTemp("", "pods")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })
	require.NoError(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	cmd = exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

// runUntilChapter sends a signal to the example when a chapter begins, and answers what it said until it ended.
func runUntilChapter(t *testing.T, program, chapter string, signal os.Signal) (story, tmp string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd, tmp := command(ctx, t, program)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stdout, &said))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), chapter) {
			require.NoError(t, cmd.Process.Signal(signal))
		}
	}
	require.NoError(t, lines.Err())
	return said.String(), tmp, cmd.Wait()
}

// requireNothingLeft checks that no pod, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, story, tmp string) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(story, -1)
	require.GreaterOrEqual(t, len(addresses), 4, "three pods and the round-robin address:\n%s", story)
	for _, address := range addresses {
		require.Eventually(t, func() bool {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, 10*time.Second, 20*time.Millisecond, "%s still answers", address)
	}
	// The server's directory goes last, when it has ended.
	require.Eventually(t, func() bool {
		left, err := os.ReadDir(tmp)
		return err == nil && len(left) == 0
	}, 20*time.Second, 50*time.Millisecond, "temporary files are left")
}
