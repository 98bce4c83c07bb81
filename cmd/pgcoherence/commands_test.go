package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// leaves are all commands that do something, by their path, with arguments that make sense.
func leaves(t *testing.T) map[string][]string {
	t.Helper()

	arguments := map[string][]string{
		"invalidate": {"users", "1"}, "lock": {"report", "--", "true"}, "locks inspect": {"report"}, "locks steal": {"report", "--yes"},
		"watch-table add": {"users", "users"}, "watch-table remove": {"users", "users", "--yes"}, "sessions list": {"alice"},
		"sessions show": {"alice", uuid.NewString()}, "sessions revoke": {"alice", uuid.NewString(), "--yes"}, "sessions revoke-user": {"alice", "--yes"},
		"sessions revoke-all": {"--yes"}, "sessions forget-user": {"alice", "--yes"}, "bench": {"--yes", "--time", "100ms", "--writers", "1"},
	}

	found := make(map[string][]string)
	var walk func(*cobra.Command, string)
	walk = func(c *cobra.Command, path string) {
		for _, sub := range c.Commands() {
			name := strings.TrimSpace(path + " " + sub.Name())
			if sub.HasSubCommands() {
				walk(sub, name)
				continue
			}
			found[name] = arguments[name]
			delete(arguments, name)
		}
	}
	walk(newRoot(&app{}), "")
	require.Empty(t, arguments, "no such commands")
	require.Len(t, found, 22)
	return found
}

// TestEveryCommand: each command in each of the situations in which it cannot work: a code that says so, a message that
// helps, no password, no colour, and with --json nothing but JSON on its output.
func TestEveryCommand(t *testing.T) {
	t.Parallel()
	empty, full := pgtest.New(t, nil).DSN, pgtest.New(t, template).DSN
	const nowhere = "postgres://app:hunter2@127.0.0.1:1/shop?connect_timeout=1"
	run := func(args ...string) (code int, out, errOut string) {
		var o, e bytes.Buffer
		code = execute(t.Context(), args, strings.NewReader(""), &o, &e)
		require.NotContains(t, o.String()+e.String(), "hunter2")
		require.NotContains(t, o.String()+e.String(), "\x1b", "no colour where nobody sees it")
		return code, o.String(), e.String()
	}
	with := func(path string, arguments []string, more ...string) []string {
		return append(append(strings.Fields(path), more...), arguments...)
	}

	for path, arguments := range leaves(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			code, out, _ := run(with(path, nil, "--help")...)
			require.Zero(t, code)
			require.Contains(t, out, "Usage:")
			code, _, errOut := run(with(path, arguments, "--nonsense")...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, errOut, "unknown flag")
			if path == "config" {
				return // it asks nobody
			}

			failed := []int{exitFailed}
			if path == "doctor" {
				failed = []int{exitBad} // that is what it is for
			}
			code, out, errOut = run(with(path, arguments, "--dsn", nowhere)...)
			require.Contains(t, failed, code, errOut)
			require.NotEmpty(t, out+errOut)
			if path != "migrate" && path != "bench" { // they make tables
				code, out, errOut = run(with(path, arguments, "--dsn", empty)...)
				require.NotContains(t, []int{0, exitUsage}, code, "no tables: %s", out)
				require.NotEmpty(t, out+errOut)
			}

			if path == "tail" {
				arguments = []string{"-n", "1", "--since", "1h"}
				code, _, errOut := run("invalidate", "users", "1", "--dsn", full)
				require.Zero(t, code, errOut)
			}
			code, out, errOut = run(with(path, arguments, "--dsn", full, "--json")...)
			require.NotEqual(t, exitUsage, code, errOut)
			for line := range strings.Lines(out) {
				require.True(t, json.Valid([]byte(line)), "%s", line)
			}
			if code == 0 && path != "lock" {
				require.NotEmpty(t, out)
			}
		})
	}
}
