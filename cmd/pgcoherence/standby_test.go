package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
)

// TestReadOnlyServers: every command at a standby, and as a role whose transactions are read-only: what only reads logged
// tables works, and all else says which kind of server it has met, before its time-out is over or at that time.
func TestReadOnlyServers(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	pool, err := pgxpool.New(t.Context(), primary.DSN(""))
	require.NoError(t, err)
	require.NoError(t, tables.Make(t.Context(), pool))
	_, err = pool.Exec(t.Context(), "CREATE TABLE users (id bigint PRIMARY KEY)")
	require.NoError(t, err)
	pool.Close()
	standby, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })

	for name, dsn := range map[string]string{
		"standby": standby.DSN(""), "read only": primary.DSN("") + "&options=-c%20default_transaction_read_only%3Don",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for path, arguments := range leaves(t) {
				switch path {
				case "config":
					continue // it asks no server
				case "tail":
					arguments = []string{"-n", "1", "--since", "1h"}
					if name == "read only" {
						continue // it reads, and waits for an event
					}
				}
				var out, errOut bytes.Buffer
				args := append(append(strings.Fields(path), "--timeout", "3s", "--dsn", dsn), arguments...)
				code := execute(t.Context(), args, strings.NewReader(""), &out, &errOut)

				text := out.String() + errOut.String()
				switch {
				case path == "doctor":
					assert.Equal(t, exitBad, code)
				case code == 0 && name == "read only" && strings.HasPrefix(path, "watch-table "):
					continue // its transactions say that they write, which the setting allows
				case code == 0:
					assert.Contains(t, []string{"pods", "status", "sessions list", "locks list", "locks inspect", "watch-table list", "migrate"}, path, "it cannot have worked: %s", text)
					continue
				case strings.Contains(text, "no such session") || strings.Contains(text, "not held") || strings.Contains(text, "no lease"):
					continue // it reads, and there is none
				default:
					assert.Equal(t, exitFailed, code, "%s: %s", path, text)
				}
				assert.Regexp(t, "standby|read-only|read only", text, path)
			}
		})
	}
}
