package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// sourceModule is a module of its own, with the programs that need the libraries
// of others to get a server. Whoever uses pgcoherence shall not require these.
const sourceModule = "internal/lab/pgsource"

const ourModule = "github.com/pgcoherence/pgcoherence"

// buildSource builds a program of sourceModule into a directory of its own, which
// the caller removes. Built and then run, since go run passes no signal on and
// leaves its child behind when it is killed.
func buildSource(ctx context.Context, program string) (path, dir string, err error) {
	source, err := findSource(ctx)
	if err != nil {
		return "", "", err
	}
	if dir, err = os.MkdirTemp("", "pgtest-source-"); err != nil {
		return "", "", err
	}

	path = filepath.Join(dir, program)
	cmd := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", path, "./"+program)
	// A workspace of the caller's does not list the module, and flags such as
	// -mod=vendor or -race are meant for other builds.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	cmd.WaitDelay = 5 * time.Second
	if _, err := cmd.Output(); err != nil {
		err = fmt.Errorf("go build %s/%s: %w", sourceModule, program, errors.Join(withStderr(err), context.Cause(ctx)))
		return "", "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, dir, nil
}

// findSource returns the directory of sourceModule: beside the source that this
// file was compiled from, or, where the compiler was told to forget that, beside
// the module that the current directory requires.
func findSource(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", err
	}

	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dir := filepath.Join(filepath.Dir(file), "..", filepath.Base(sourceModule))
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}

	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", ourModule).Output()
	if err != nil {
		return "", fmt.Errorf("the source of %s is not here: go list: %w", sourceModule, withStderr(err))
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(sourceModule))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("%s is in a clone of the repository only: %w", sourceModule, err)
	}
	return dir, nil
}

// withStderr adds what a program wrote before it failed.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
