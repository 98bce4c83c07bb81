package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
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
// end. A nil cfg means all defaults. Where such a server cannot be had the test
// fails or is skipped as the package comment says; it is always skipped where
// PGCOHERENCE_POSTGRES forces a way to servers which cannot be crashed.
func NewServer(t TB, cfg *Config) *Server {
	t.Helper()
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

// RequireBinaries skips or fails a test, like NewServer does, if no server
// binaries are found on this machine. It is for tests that call Start in a
// process of their own.
func RequireBinaries(t TB) {
	t.Helper()
	kind, err := forcedKind()
	if err == nil && kind != "" && kind != KindBinaries {
		err = fmt.Errorf("%w: %s: binaries on this machine were wanted", ErrUnsupported, kind)
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

// Missing ends a test that needs something which this machine lacks: loudly, and
// as a failure in CI, which has to test with it. The text names it, and how to
// get it.
func Missing(t TB, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf("%s, and CI has to test with it", what)
		return
	}
	t.Skipf("\n*** NOT TESTED: %s", what)
}

// giveUp ends a test that got no server. Whoever forces a way, and whoever runs
// in CI, relies on the test having run.
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
