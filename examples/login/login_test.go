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
		{[]string{"-twice"}, 2, "flag provided but not defined: -twice"},
		{[]string{"-once", "more"}, 2, `unexpected argument "more"`},
		{[]string{"-h"}, 0, "walk through all of it and exit"},
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

// TestCheck: one step that does not hold is enough to fail.
func TestCheck(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &story{out: &out}
	s.check(true, "%d", 1)
	s.check(false, "%d", 2)
	require.Equal(t, "   ok     1\n   FAILED 2\n", out.String())
	require.Equal(t, [2]int{1, 1}, [2]int{s.held, s.failed})
}

// TestLogin builds the example and runs it as a person would. Its parts come one after the other: together they would
// only be slower.
func TestLogin(t *testing.T) {
	pgtest.RequireBinaries(t)
	program := filepath.Join(t.TempDir(), "login")
	build := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", program, "."})...)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	for name, args := range map[string][]string{"HTTPS": {"-once", "-v"}, "HTTP": {"-once", "-v", "-http"}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd, tmp := command(ctx, t, program, args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			told := string(out)
			require.NoError(t, err, "%s\n%s", told, stderr.String())
			requireNothingLeft(t, told, tmp)
			require.NotContains(t, told, "FAILED")
			require.NotContains(t, stderr.String(), "DATA RACE")
			require.Contains(t, told, "\nEvery step held, all 35.")
			require.Len(t, regexp.MustCompile(`(?m)^\d\. `).FindAllString(told, -1), 6, told)
			require.Equal(t, name == "HTTPS", strings.Contains(told, "__Host-session; Path=/; HttpOnly; Secure; SameSite=Lax"), told)
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		told, tmp, err := runUntil(t, program, "2. ", os.Interrupt, "-once")
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitInterrupted, exit.ExitCode())
		requireNothingLeft(t, told, tmp)
	})
	t.Run("killed", func(t *testing.T) {
		told, tmp, err := runUntil(t, program, "2. ", syscall.SIGKILL, "-once")
		require.Error(t, err)
		requireNothingLeft(t, told, tmp)
	})
	t.Run("stays up", func(t *testing.T) {
		told, tmp, err := runUntil(t, program, "or through the provider", os.Interrupt)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, exitInterrupted, exit.ExitCode())
		require.Regexp(t, `(?m)^   alice +password [a-z2-7]{12}$`, told)
		requireNothingLeft(t, told, tmp)
	})
}

// command is a run of the example with a directory for temporary files of its own.
func command(ctx context.Context, t *testing.T, program string, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	// Not t.TempDir: like /tmp, it has to let the server's user in, and remove its own files.
	tmp, err := os.MkdirTemp("", "login")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })
	require.NoError(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	cmd = exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}

// runUntil sends a signal to the example when a line of it begins with a text, and answers what it said until it ended.
func runUntil(t *testing.T, program, text string, signal os.Signal, args ...string) (told, tmp string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd, tmp := command(ctx, t, program, args...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stdout, &said))
	sent := false
	for lines.Scan() {
		if !sent && strings.HasPrefix(lines.Text(), text) {
			sent = true
			require.NoError(t, cmd.Process.Signal(signal))
		}
	}
	require.NoError(t, lines.Err())
	require.True(t, sent, said.String())
	return said.String(), tmp, cmd.Wait()
}

// requireNothingLeft checks that no process, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, told, tmp string) {
	t.Helper()
	addresses := regexp.MustCompile(`(?:127\.0\.0\.1|localhost):\d+`).FindAllString(told, -1)
	require.GreaterOrEqual(t, len(addresses), 5, "three pods, the provider and the round-robin address:\n%s", told)
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
