package lock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

// What nobody needs is deleted, and nothing else; who asks for a purged key begins with a larger token.
func TestPurge(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	old, err := l.TryAcquire(ctx, "old")
	require.NoError(t, err)

	for _, key := range []string{"guarded", "awaited", "forsaken", "fresh"} {
		lease, err := l.TryAcquire(ctx, key)
		require.NoError(t, err)
		require.NoError(t, lease.Release(ctx))
	}

	require.NoError(t, old.Release(ctx))
	_, err = l.TryAcquire(ctx, "held")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `UPDATE pgcoherence.lease SET since = since - interval '25 h' WHERE key <> 'fresh';
		UPDATE pgcoherence.lease SET queued = true WHERE key IN ('awaited', 'forsaken');
		INSERT INTO pgcoherence.lease_waiter (id, key, seen_at) VALUES
			(gen_random_uuid(), 'awaited', clock_timestamp()), (gen_random_uuid(), 'forsaken', clock_timestamp() - interval '1 h')`)
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM pgcoherence.lease WHERE key = 'guarded' FOR KEY SHARE")
	require.NoError(t, err)
	left := func() (keys []string) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT array_agg(key ORDER BY key) FROM pgcoherence.lease").Scan(&keys))
		return keys
	}
	require.NoError(t, l.Purge(ctx))
	require.Equal(t, []string{"awaited", "fresh", "guarded", "held"}, left())
	var waiters []string
	require.NoError(t, pool.QueryRow(ctx, "SELECT array_agg(key) FROM pgcoherence.lease_waiter").Scan(&waiters))
	require.Equal(t, []string{"awaited"}, waiters)
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, l.Purge(ctx))
	require.Equal(t, []string{"awaited", "fresh", "held"}, left())
	again, err := l.TryAcquire(ctx, "old")
	require.NoError(t, err)
	require.Greater(t, again.Token(), old.Token())
}

// For ever means for ever.
func TestPurgeNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("a")
	cfg.Retention = -1
	l := make1(t, nil, pool, cfg)
	lease, err := l.TryAcquire(ctx, "old")
	require.NoError(t, err)
	require.NoError(t, lease.Release(ctx))
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET since = since - interval '1 year'")
	require.NoError(t, err)
	require.NoError(t, l.Purge(ctx))
	info, err := l.Inspect(ctx, "old")
	require.NoError(t, err)
	require.Equal(t, lease.Token(), info.Token)
	require.Greater(t, info.Since, 300*24*time.Hour)
}

// A purge goes through a table of many pages, whatever is in them, and takes all that is old.
func TestPurgePages(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	const pages = 3
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.lease (key, token, grant_id, since, expires_at)
		SELECT 'key ' || i, 1, gen_random_uuid(), clock_timestamp() - interval '25 h',
			CASE WHEN i % 1000 = 0 THEN clock_timestamp() + interval '1 h' ELSE '-infinity' END
		FROM generate_series(1, $1::integer) AS i`, pages*lock.PageRows)
	require.NoError(t, err)
	require.NoError(t, l.Purge(ctx))
	var left int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.lease").Scan(&left))
	require.Equal(t, pages, left)
}

// Dead waiters are deleted although leases are kept for ever.
func TestPurgeWaitersAlways(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("a")
	cfg.Retention = -1
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.lease_waiter (id, key, seen_at)
		SELECT gen_random_uuid(), 'k', clock_timestamp() - interval '1 h' FROM generate_series(1, 2 * $1::integer)`, lock.PageRows)
	require.NoError(t, err)
	require.NoError(t, make1(t, nil, pool, cfg).Purge(ctx))
	var left int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.lease_waiter").Scan(&left))
	require.Zero(t, left)
}

// While another process purges, this one leaves it to it.
func TestPurgeOneAtATime(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.lease (key, token, grant_id, since, expires_at)
		VALUES ('k', 1, gen_random_uuid(), clock_timestamp() - interval '25 h', '-infinity')`)
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)
	var last *string
	var deleted int
	require.NoError(t, tx.QueryRow(ctx, queries["purge.sql"], "zzz", 10, 1000).Scan(&last, &deleted))
	require.NoError(t, l.Purge(ctx))
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, int64(1), info.Token, "it is still there")
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, l.Purge(ctx))
	info, err = l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Zero(t, info.Token)
}
