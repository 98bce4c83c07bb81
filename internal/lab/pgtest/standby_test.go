package pgtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestServer_StandbyStreamsAndIsPromoted(t *testing.T) {
	t.Parallel()
	primary := pgtest.NewServer(t, &pgtest.Config{Password: `qu'o\te`})
	ctx := t.Context()
	exec(t, primary.DSN(""), "create table marks (n int); insert into marks values (1)")

	standby, err := primary.Standby(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	require.NotEqual(t, primary.DSN(""), standby.DSN(""))
	require.Equal(t, primary.Version(), standby.Version())
	require.True(t, query[bool](t, standby.DSN(""), "select pg_is_in_recovery()"))
	require.Equal(t, 1, query[int](t, standby.DSN(""), "select count(*) from marks"))

	exec(t, primary.DSN(""), "insert into marks values (2)")
	require.Eventually(t, func() bool {
		return query[int](t, standby.DSN(""), "select count(*) from marks") == 2
	}, 5*time.Second, 10*time.Millisecond)

	require.NoError(t, primary.Crash(ctx))
	require.NoError(t, standby.Promote(ctx))
	require.False(t, query[bool](t, standby.DSN(""), "select pg_is_in_recovery()"))
	exec(t, standby.DSN(""), "insert into marks values (3)")
	require.Equal(t, 3, query[int](t, standby.DSN(""), "select count(*) from marks"))
	require.Error(t, standby.Promote(ctx), "a primary cannot be promoted")
}
