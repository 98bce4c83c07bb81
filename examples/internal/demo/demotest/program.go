// Package demotest builds the examples and runs them as a person would.
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

// Program is an example that has been built.
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

// Told is what a run of an example has said, and its directory for temporary files.
type Told struct {
	Story  string
	Stderr string // of Run alone
	Tmp    string
}

// Run runs the example to its end, which has to be a good one.
func (p Program) Run(t *testing.T, timeout time.Duration, args ...string) Told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd, tmp := p.command(ctx, t, args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", out, stderr.String())
	return Told{Story: string(out), Stderr: stderr.String(), Tmp: tmp}
}

// RunUntil sends a signal to the example once it says a line that matches, and answers how it ended.
func (p Program) RunUntil(t *testing.T, line *regexp.Regexp, signal os.Signal, args ...string) (Told, error) {
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
	return Told{Story: said.String(), Tmp: tmp}, cmd.Wait()
}

// Interrupt is RunUntil with a Ctrl-C, which has to end the example as one.
func (p Program) Interrupt(t *testing.T, line *regexp.Regexp, args ...string) Told {
	t.Helper()
	told, err := p.RunUntil(t, line, os.Interrupt, args...)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, demo.ExitInterrupted, exit.ExitCode())
	return told
}

// command is a run of the example with a directory for temporary files of its own.
func (p Program) command(ctx context.Context, t *testing.T, args []string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	// Not t.TempDir: like /tmp, it has to let the server's user in, and remove its own files.
	tmp, err := os.MkdirTemp("", p.name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(tmp)) })
	require.NoError(t, os.Chmod(tmp, 0o777|os.ModeSticky))
	cmd = exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd, tmp
}
