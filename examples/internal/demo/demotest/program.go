// Package demotest builds the examples and runs them as programs.
package demotest

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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// Program is a built example.
type Program struct {
	name string
	path string
}

// Build builds the package in the test's directory. The test is skipped where there are no server binaries.
func Build(t *testing.T, name string) Program {
	t.Helper()
	pgtest.RequireBinaries(t)
	p := Program{name, filepath.Join(t.TempDir(), name)}
	build := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", p.path, "."})...)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return p
}

// Output is what a run of an example has printed, and its directory for temporary files.
type Output struct {
	Story  string
	Stderr string // of Run alone
	Tmp    string
}

// Run runs the example to its end and requires exit status 0.
func (p Program) Run(t *testing.T, timeout time.Duration, args ...string) Output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd, tmp := p.command(ctx, t, args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", out, stderr.String())
	return Output{Story: string(out), Stderr: stderr.String(), Tmp: tmp}
}

// RunUntil sends a signal to the example when it prints a matching line, and returns its output and the error of its end.
func (p Program) RunUntil(t *testing.T, line *regexp.Regexp, signal os.Signal, args ...string) (Output, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	cmd, tmp := p.command(ctx, t, args)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(io.TeeReader(stdout, &said))
	sent := false
	for lines.Scan() {
		if !sent && line.MatchString(lines.Text()) {
			sent = true
			require.NoError(t, cmd.Process.Signal(signal))
		}
	}

	require.NoError(t, lines.Err())
	require.True(t, sent, said.String())
	return Output{Story: said.String(), Tmp: tmp}, cmd.Wait()
}

// Interrupt is RunUntil with SIGINT. It requires the exit status of an interrupted program.
func (p Program) Interrupt(t *testing.T, line *regexp.Regexp, args ...string) Output {
	t.Helper()
	out, err := p.RunUntil(t, line, os.Interrupt, args...)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, demo.ExitInterrupted, exit.ExitCode())
	return out
}

// command prepares a run of the example with its own directory for temporary files.
func (p Program) command(ctx context.Context, t *testing.T, args []string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	// Not t.TempDir: like /tmp, it has to let the server's user create and remove files.
	tmp, err := os.MkdirTemp("", p.name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })
	require.NoError(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	cmd = exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}
