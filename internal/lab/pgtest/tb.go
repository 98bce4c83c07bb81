package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TB is what pgtest needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// NewServer starts a crashable server for one test and closes it at the test's
// end. A nil cfg uses the defaults. Without such a server the test fails or is
// skipped as the package comment says; it is always skipped where
// PGCOHERENCE_POSTGRES forces a kind that cannot be crashed.
func NewServer(t TB, cfg *Config) *Server {
	t.Helper()
	skipShort(t)
	var c Config
	if cfg != nil {
		c = *cfg
	}

	c.Crashable = true
	server, err := Start(t.Context(), &c)
	if err != nil {
		giveUp(t, err)
		return nil
	}

	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})

	return server
}

// RequireBinaries skips or fails a test, as NewServer does, if there are no
// server binaries on this machine. It is for tests that call Start in a process
// of their own.
func RequireBinaries(t TB) {
	t.Helper()
	skipShort(t)
	kind, err := forcedKind()
	if err == nil && kind != "" && kind != KindBinaries {
		err = fmt.Errorf("%w: %s: server binaries on this machine are required", ErrUnsupported, kind)
	}
	if err == nil {
		if _, findErr := findPrograms(os.Getenv(EnvBinaries)); findErr != nil {
			err = fmt.Errorf("%w\n%s: %w\n%s", ErrUnavailable, KindBinaries, findErr, howToGetOne)
		}
	}
	if err != nil {
		giveUp(t, err)
	}
}

// Missing skips a test that needs a program that this machine lacks, and fails
// it under CI=true. The text names the program and how to install it.
func Missing(t TB, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf("%s, and CI has to test with it", what)
		return
	}
	t.Skipf("\n*** NOT TESTED: %s", what)
}

// skipShort skips a test under -short: the inner loop has no server.
func skipShort(t TB) {
	t.Helper()
	if _, ok := t.(testing.TB); ok && testing.Short() {
		t.Skipf("*** NOT TESTED: this test needs a Postgres, and -short leaves those out; make test runs them")
	}
}

// giveUp ends a test that got no server. It fails in CI and where a kind is
// forced, because there the test is expected to have run.
func giveUp(t TB, err error) {
	t.Helper()
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("\n*** NOT TESTED: %s=%s forbids a server that can be crashed\n*** %v", EnvKind, os.Getenv(EnvKind), err)
		return
	}
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	if ci || os.Getenv(EnvKind) != "" || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%v", err)
		return
	}
	t.Skipf("\n*** NOT TESTED: this test needs a Postgres, and there is none\n*** %v", err)
}
