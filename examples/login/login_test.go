package main

import (
	"bytes"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo/demotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOptions(t *testing.T) {
	t.Parallel()
	demotest.RequireCommandLines(t, run, []demotest.CommandLine{
		{Args: []string{"-twice"}, Code: 2, Says: "flag provided but not defined: -twice"},
		{Args: []string{"-once", "more"}, Code: 2, Says: `unexpected argument "more"`},
		{Args: []string{"-h"}, Code: 0, Says: "walk through all of it and exit"},
	})
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
	program := demotest.Build(t, "login")
	for name, args := range map[string][]string{"HTTPS": {"-once", "-v"}, "HTTP": {"-once", "-v", "-http"}} {
		t.Run(name, func(t *testing.T) {
			told := program.Run(t, 2*time.Minute, args...)
			requireNothingLeft(t, told)
			story := told.Story
			require.NotContains(t, story, "FAILED")
			require.NotContains(t, told.Stderr, "DATA RACE")
			require.Contains(t, story, "\nEvery step held, all 35.")
			require.Len(t, regexp.MustCompile(`(?m)^\d\. `).FindAllString(story, -1), 6, story)
			require.Equal(t, name == "HTTPS", strings.Contains(story, "; Path=/; HttpOnly; Secure; SameSite=Lax"), story)
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		requireNothingLeft(t, program.Interrupt(t, regexp.MustCompile(`^2\. `), "-once"))
	})
	t.Run("killed", func(t *testing.T) {
		told, err := program.RunUntil(t, regexp.MustCompile(`^2\. `), syscall.SIGKILL, "-once")
		require.Error(t, err)
		requireNothingLeft(t, told)
	})
	t.Run("stays up", func(t *testing.T) {
		told := program.Interrupt(t, regexp.MustCompile("^or through the provider"))
		require.Regexp(t, `(?m)^   alice +password [a-z2-7]{12}$`, told.Story)
		requireNothingLeft(t, told)
	})
}

// requireNothingLeft checks that no process, no server and no file outlives the example.
func requireNothingLeft(t *testing.T, told demotest.Told) {
	t.Helper()
	addresses := regexp.MustCompile(`(?:127\.0\.0\.1|localhost):\d+`).FindAllString(told.Story, -1)
	require.GreaterOrEqual(t, len(addresses), 5, "three pods, the provider and the round-robin address:\n%s", told.Story)
	demotest.RequireSilence(t, addresses)
	told.RequireNoFiles(t)
}
