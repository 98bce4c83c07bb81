package pgtest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// fakeTB records how a test ended.
type fakeTB struct {
	ctx            context.Context
	fatal, skipped string
}

var _ pgtest.TB = testing.TB(nil)

func (f *fakeTB) Helper()                           {}
func (f *fakeTB) Cleanup(func())                    {}
func (f *fakeTB) Context() context.Context          { return f.ctx }
func (f *fakeTB) Errorf(format string, args ...any) { f.Fatalf(format, args...) }
func (f *fakeTB) Fatalf(format string, args ...any) { f.fatal = fmt.Sprintf(format, args...) }
func (f *fakeTB) Skipf(format string, args ...any)  { f.skipped = fmt.Sprintf(format, args...) }

func TestNewServer_WithoutPostgres(t *testing.T) {
	nowhere := &pgtest.Config{Kind: pgtest.KindBinaries, Binaries: filepath.Join(t.TempDir(), "none")}
	for _, test := range []struct{ ci, forced, outcome string }{
		{ci: "", forced: "", outcome: "skipped"},
		{ci: "false", forced: "", outcome: "skipped"},
		{ci: "true", forced: "", outcome: "fatal"},
		{ci: "", forced: "binaries", outcome: "fatal"},
	} {
		t.Setenv("CI", test.ci)
		t.Setenv(pgtest.EnvKind, test.forced)
		fake := &fakeTB{ctx: t.Context()}
		require.Nil(t, pgtest.NewServer(fake, nowhere))

		text := fake.fatal
		if test.outcome == "skipped" {
			require.Empty(t, fake.fatal, test)
			text = fake.skipped
			require.Contains(t, text, "*** NOT TESTED", test)
		} else {
			require.Empty(t, fake.skipped, test)
		}

		require.Contains(t, text, "binaries:", test)
		require.Contains(t, text, "to get one, set", test)
	}
}

func TestNewServer_ForcedKindThatCannotCrash(t *testing.T) {
	t.Setenv("CI", "true")
	for _, kind := range []string{"container", "dsn"} {
		t.Setenv(pgtest.EnvKind, kind)
		fake := &fakeTB{ctx: t.Context()}
		require.Nil(t, pgtest.NewServer(fake, nil))
		require.Empty(t, fake.fatal)
		require.Contains(t, fake.skipped, "PGCOHERENCE_POSTGRES="+kind)

		fake = &fakeTB{ctx: t.Context()}
		pgtest.RequireBinaries(fake)
		require.Empty(t, fake.fatal)
		require.Contains(t, fake.skipped, "*** NOT TESTED")
	}
	t.Setenv(pgtest.EnvKind, "binary")
	fake := &fakeTB{ctx: t.Context()}
	pgtest.RequireBinaries(fake)
	require.Contains(t, fake.fatal, `PGCOHERENCE_POSTGRES="binary"`)
}
