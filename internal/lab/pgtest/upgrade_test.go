package pgtest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// upgrade calls Upgrade. Without pg_upgrade the test is skipped, or fails in CI.
func upgrade(t *testing.T, server *pgtest.Server) *pgtest.Server {
	t.Helper()
	upgraded, err := server.Upgrade(t.Context())
	if errors.Is(err, pgtest.ErrUnsupported) {
		pgtest.Missing(t, "%v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, upgraded.Close()) })
	return upgraded
}

func TestServer_Upgrade(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, nil)
	exec(t, server.DSN(""), "create unlogged table marks (n int); insert into marks values (7)")
	const identity = "select system_identifier from pg_control_system()"
	before := query[int64](t, server.DSN(""), identity)

	upgraded := upgrade(t, server)
	require.Equal(t, 7, query[int](t, upgraded.DSN(""), "select n from marks"))
	require.NotEqual(t, before, query[int64](t, upgraded.DSN(""), identity))
	require.Equal(t, server.Version(), upgraded.Version())

	require.NoError(t, server.Start(t.Context()), "the files were copied")
	require.Equal(t, 7, query[int](t, server.DSN(""), "select n from marks"))
}
