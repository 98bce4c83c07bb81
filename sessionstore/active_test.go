package sessionstore_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// The sweep counts what is valid and nothing else.
func TestActiveSessions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{SweepBatch: 2})
	count := func() int {
		t.Helper()
		n := testutil.CollectAndCount(p.store, "pgcoherence_session_active")
		require.Equal(t, n == 1, p.Stats().Active >= 0, "the metric is there if and only if it was counted")
		return n
	}
	require.Zero(t, count(), "before the first sweep nobody knows")
	require.NoError(t, p.Sweep(ctx))
	require.Zero(t, p.Stats().Active)
	require.Equal(t, 1, count())

	for range 3 {
		login(t, p, "valid", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Idle: sessionstore.NoIdle}})
		login(t, p, "also valid", nil)
		login(t, p, "expired", nil)
		login(t, p, "idle", nil)
		login(t, p, "ended", nil)
	}
	_, _, err := p.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	revoked, _ := login(t, p, "valid", nil)
	_, err = p.Revoke(ctx, revoked)
	require.NoError(t, err)
	_, err = p.RevokeUser(ctx, "ended")
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, `
		UPDATE pgcoherence.session SET expires_at = clock_timestamp() - interval '1 minute' WHERE user_id = 'expired';
		UPDATE pgcoherence.session SET last_seen = clock_timestamp() - idle WHERE user_id = 'idle'`)
	require.NoError(t, err)
	for range 2 { // the same again: a pass does not add to the last one
		require.NoError(t, p.Sweep(ctx))
		require.EqualValues(t, 7, p.Stats().Active)
		require.NoError(t, testutil.CollectAndCompare(p.store, strings.NewReader(`
# HELP pgcoherence_session_active Valid sessions in the database, of all pods, as of the last sweep; an estimate if there are many.
# TYPE pgcoherence_session_active gauge
pgcoherence_session_active{store="session"} 7
`), "pgcoherence_session_active"))
	}
}
