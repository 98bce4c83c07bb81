package sessionstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
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

// A session in use is found by the walk through the table, whatever no index says, each turn takes its part, and nothing
// is written to what stays.
func TestSweepWalk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{SweepBatch: 50})
	token, _ := login(t, p, "used", nil)
	_, err := p.pool.Exec(ctx, `
		INSERT INTO pgcoherence.session_user (user_id, gen) VALUES ('in use', 77);
		INSERT INTO pgcoherence.session (key, proof, id, user_id, gen, last_write, data, idle, expires_at, sweep_at, last_seen, prev_key, prev_until, next_salt)
		SELECT substr(sha256(i::text::bytea), 1, 16), substr(sha256(i::text::bytea), 17, 16), gen_random_uuid(), 'in use', CASE WHEN i % 100 = 1 THEN 76 ELSE 77 END,
			gen_random_uuid(), convert_to(repeat('x', 700), 'UTF8'), '30 minutes', clock_timestamp() + interval '30 days', NULL,
			clock_timestamp() - CASE WHEN i % 100 = 0 THEN interval '2 hours' ELSE interval '1 minute' END,
			CASE WHEN i % 100 = 2 THEN substr(sha256(('p' || i)::bytea), 1, 16) END, CASE WHEN i % 100 = 2 THEN clock_timestamp() - interval '1 second' END,
			CASE WHEN i % 100 = 2 THEN '\x01'::bytea END
		FROM generate_series(1, 5000) AS i`)
	require.NoError(t, err)
	var pages, written int
	require.NoError(t, p.pool.QueryRow(ctx, "SELECT pg_relation_size('pgcoherence.session') / 8192").Scan(&pages))
	require.Greater(t, pages, 3*64)
	count := func(where string) (n int) {
		require.NoError(t, p.pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.session WHERE "+where).Scan(&n))
		return n
	}
	idle, orphans, leftovers := "last_seen < clock_timestamp() - interval '90 minutes'", "gen = 76 AND revoked_at IS NULL", "next_salt IS NOT NULL"

	// A turn of a minute reads its least, from where the last one has ended.
	turns := 0
	for before := 50; count(idle) > 0; turns++ {
		require.Less(t, turns, pages/64+2, "the walk does not come around")
		require.NoError(t, p.Adapter(hook.Token{}).SweepTurn(ctx, time.Minute))
		require.LessOrEqual(t, before-count(idle), 64*5000/pages/100+2, "no more than its part")
		before = count(idle)
	}
	require.GreaterOrEqual(t, turns, 3)
	require.Zero(t, count(orphans))
	require.Zero(t, count(leftovers))
	require.EqualValues(t, 50, p.Stats().Swept["idle"])
	require.EqualValues(t, 50, p.Stats().Swept["emptied"])

	// The rest was neither written nor locked.
	require.NoError(t, p.pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.session WHERE gen = 77 AND prev_key IS NULL AND xmax <> 0").Scan(&written))
	require.Zero(t, written)
	require.Equal(t, 4900+1, count("revoked_at IS NULL"))

	// Sweep reads all of the table at once.
	_, err = p.pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = clock_timestamp() - interval '2 hours', sweep_at = NULL WHERE gen = 77")
	require.NoError(t, err)
	require.NoError(t, p.Sweep(ctx))
	require.Zero(t, count("gen = 77"))
	_, err = p.GetFresh(ctx, token)
	require.NoError(t, err)
}
