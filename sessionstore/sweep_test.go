package sessionstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// What is long over is deleted in batches, past rows that somebody holds; what was revoked stays for an hour.
func TestSweep(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{SweepBatch: 3})
	for range 10 {
		login(t, p, "expired", nil)
		login(t, p, "idle", nil)
		login(t, p, "valid", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Idle: sessionstore.NoIdle}})
	}
	revoked, _ := login(t, p, "revoked", nil)
	_, err := p.Revoke(ctx, revoked)
	require.NoError(t, err)
	gone, _ := login(t, p, "gone", nil)
	_, err = p.Revoke(ctx, gone)
	require.NoError(t, err)
	old, _ := login(t, p, "old", nil)
	_, err = p.Revoke(ctx, old)
	require.NoError(t, err)
	ended, _ := login(t, p, "ended", nil)
	_, err = p.RevokeUser(ctx, "ended")
	require.NoError(t, err)
	for range 5 {
		_, err = p.PutOneTime(ctx, "k", nil, &sessionstore.OneTimeOptions{TTL: time.Millisecond})
		require.NoError(t, err)
	}
	_, err = p.RevokeBySID(ctx, "idp", "1")
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, `
		UPDATE pgcoherence.session SET expires_at = clock_timestamp() - interval '61 minutes' WHERE user_id IN ('expired', 'old');
		UPDATE pgcoherence.session SET last_seen = clock_timestamp() - interval '91 minutes' WHERE user_id IN ('idle', 'revoked', 'gone');
		UPDATE pgcoherence.session SET revoked_at = clock_timestamp() - interval '61 minutes' WHERE user_id = 'gone';
		UPDATE pgcoherence.session SET sweep_at = CASE WHEN user_id = 'valid' THEN NULL ELSE clock_timestamp() - interval '1 second' END;
		UPDATE pgcoherence.one_time SET expires_at = clock_timestamp() - interval '2 minutes';
		UPDATE pgcoherence.session_logout SET ended_at = clock_timestamp() - interval '25 hours'`)
	require.NoError(t, err)
	count := func(user string) (n int) {
		require.NoError(t, p.pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.session WHERE user_id = $1", user).Scan(&n))
		return n
	}
	tx := begin(t, p.pool)
	_, err = tx.Exec(ctx, `SELECT FROM pgcoherence.session WHERE key = (SELECT key FROM pgcoherence.session WHERE user_id = 'expired' LIMIT 1) FOR UPDATE`)
	require.NoError(t, err)
	require.NoError(t, p.Sweep(ctx), "waits for nobody")
	require.Equal(t, 1, count("expired"), "the one that is held")
	require.Zero(t, count("old"))
	require.Zero(t, count("idle"))
	require.Equal(t, 10, count("valid"))
	require.Equal(t, 1, count("revoked"), "for an hour")
	require.Zero(t, count("gone"), "and no longer")
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, p.Sweep(ctx))
	require.Zero(t, count("expired"))
	var data []byte
	var reason string
	require.NoError(t, p.pool.QueryRow(ctx, "SELECT data, revoke_reason FROM pgcoherence.session WHERE user_id = 'ended'").Scan(&data, &reason))
	require.Empty(t, data, "a session of an old generation loses its data")
	require.Equal(t, "user", reason)
	_, err = p.Get(ctx, ended)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	_, err = p.Get(ctx, revoked)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	require.Equal(t, map[string]int64{"expired": 11, "idle": 10, "emptied": 1, "one_time": 5, "logout": 1, "revoked": 1}, p.Stats().Swept)
}

// One pod of all sweeps at a time.
func TestSweepOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	login(t, p, "ann", nil)
	_, err := p.pool.Exec(ctx, "UPDATE pgcoherence.session SET expires_at = clock_timestamp() - interval '2 hours'")
	require.NoError(t, err)
	tx := begin(t, p.pool)
	var mine bool
	require.NoError(t, tx.QueryRow(ctx, sessionstore.Queries("pgcoherence")["sweep_lock"], "pgcoherence").Scan(&mine))
	require.True(t, mine)
	require.NoError(t, p.Sweep(ctx))
	require.Zero(t, p.Stats().Swept["expired"], "somebody else is at it")
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, p.Sweep(ctx))
	require.EqualValues(t, 1, p.Stats().Swept["expired"])
}

// Run sweeps by itself.
func TestSweepRuns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, &config{SweepInterval: 20 * time.Millisecond})
	login(t, pods[0], "ann", nil)
	_, err := pods[0].pool.Exec(ctx, "UPDATE pgcoherence.session SET expires_at = clock_timestamp() - interval '2 hours'")
	require.NoError(t, err)
	storetest.Eventually(t, func() bool { return pods[0].Stats().Swept["expired"]+pods[1].Stats().Swept["expired"] == 1 }, "swept")
}
