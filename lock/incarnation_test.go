package lock_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// Whatever says that this is another server than the one that granted before: larger tokens, although the sequence is
// back where it was.
func TestIncarnation(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"server":   "UPDATE pgcoherence.incarnation SET server = server - interval '1 s'",
		"database": "UPDATE pgcoherence.incarnation SET database = 'before the dump'",
		"relation": "UPDATE pgcoherence.incarnation SET relation = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			l, _ := start(t, bus.NewLocal(), pool, config("a"))
			before, err := l.TryAcquire(ctx, "k")
			require.NoError(t, err)
			require.NoError(t, before.Release(ctx))
			_, err = pool.Exec(ctx, change+"; ALTER SEQUENCE pgcoherence.lease_token RESTART")
			require.NoError(t, err)
			after, err := l.TryAcquire(ctx, "k")
			require.NoError(t, err)
			require.Greater(t, after.Token(), before.Token())
			require.Greater(t, lock.Incarnation(after.Token()), lock.Incarnation(before.Token()))
			require.NoError(t, after.Release(ctx))
			_, err = pool.Exec(ctx, change)
			require.NoError(t, err)
			many, err := l.TryAcquireMany(ctx, "k", "l")
			require.NoError(t, err)
			require.Greater(t, many[0].Token(), after.Token())
			require.Greater(t, l.Stats().Incarnation, lock.Incarnation(after.Token()))
		})
	}
}

// The sequence went back and nothing else shows it: the process that has seen a larger token does.
func TestTokenWentBack(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	for range 3 {
		lease, err := l.TryAcquire(ctx, "k")
		require.NoError(t, err)
		require.NoError(t, lease.Release(ctx))
	}
	last := l.Stats().Token
	_, err := pool.Exec(ctx, "ALTER SEQUENCE pgcoherence.lease_token RESTART")
	require.NoError(t, err)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.Greater(t, lease.Token(), last)
	require.NoError(t, lease.Err())
	require.Greater(t, lock.Incarnation(lease.Token()), lock.Incarnation(last))
}

// The same where the lease was waited for, and where several are taken.
func TestSequenceWentBackMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	holder, _ := start(t, nil, pool, config("holder"))
	l, _ := start(t, nil, pool, config("a"))
	lease, err := holder.TryAcquire(ctx, "k")
	require.NoError(t, err)
	var last int64
	for range 5 {
		other, err := l.TryAcquire(ctx, "other")
		require.NoError(t, err)
		require.NoError(t, other.Release(ctx))
		last = other.Token()
	}
	waiting := queue(t, ctx, l, "k", 1)
	back := func() {
		_, err := pool.Exec(ctx, "ALTER SEQUENCE pgcoherence.lease_token RESTART")
		require.NoError(t, err)
	}
	back()
	require.NoError(t, lease.Release(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	require.Greater(t, o.lease.Token(), last)
	require.NoError(t, o.lease.Err())

	back()
	leases, err := l.TryAcquireMany(ctx, "x", "y")
	require.NoError(t, err)
	for _, lease := range leases {
		require.Greater(t, lease.Token(), o.lease.Token())
		require.NoError(t, lease.Err())
	}
	require.Equal(t, int64(2), l.Stats().Raised)
}

func TestRaiseByHand(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	before, err := l.TryAcquire(ctx, "a")
	require.NoError(t, err)
	n, err := l.RaiseIncarnation(ctx, "restored by hand")
	require.NoError(t, err)
	after, err := l.TryAcquire(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, n, lock.Incarnation(after.Token()))
	require.Greater(t, after.Token(), before.Token())
	_, err = l.RaiseIncarnation(ctx, "a\x00")
	require.ErrorIs(t, err, lock.ErrConfig)
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.incarnation SET minutes = 16777214")
	require.NoError(t, err)
	n, err = l.RaiseIncarnation(ctx, "the last one")
	require.NoError(t, err)
	require.Equal(t, 1<<24-1, n)
	largest, err := l.TryAcquire(ctx, "c")
	require.NoError(t, err)
	require.Positive(t, largest.Token())
	_, err = l.RaiseIncarnation(ctx, "once too often")
	require.ErrorIs(t, err, lock.ErrIncarnation)
}

// Tokens grow over a crash, a restart, and a failover to a standby that had not got the last ones.
func TestTokensGrow(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	server := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	pool := sized(t, server.DSN(""), 4)
	require.NoError(t, makeSchema(ctx, pool))
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	last := int64(0)
	take := func(l *lock.Locker, why string) {
		lease, err := l.Acquire(ctx, "k") // rides over the outage
		require.NoError(t, err, why)
		require.Greater(t, lease.Token(), last, why)
		last = lease.Token()
		require.NoError(t, lease.Release(ctx), why)
	}
	take(l, "first")
	require.NoError(t, server.Crash(ctx))
	require.NoError(t, server.Start(ctx))
	pool.Reset()
	take(l, "after a crash")
	require.NoError(t, server.Restart(ctx, pgtest.Fast))
	pool.Reset()
	take(l, "after a restart")

	standby, err := server.Standby(ctx)
	if err != nil {
		t.Fatalf("standby: %v", err)
	}
	t.Cleanup(func() { _ = standby.Close() })
	pool.Reset()
	take(l, "while there is a standby")
	replica := sized(t, standby.DSN(""), 4)
	eventually(t, func() bool {
		var token int64
		err := replica.QueryRow(ctx, "SELECT token FROM pgcoherence.lease WHERE key = 'k' AND expires_at = '-infinity'").Scan(&token)
		return err == nil && token == last
	}, "replicated, the release as well")
	// A standby does not grant.
	_, err = make1(t, nil, replica, config("b")).TryAcquire(ctx, "k")
	require.Error(t, err)
	require.NotErrorIs(t, err, lock.ErrHeld)
	cutOff(t, replica)
	take(l, "what the standby will never know of")
	require.NoError(t, server.Crash(ctx))
	require.NoError(t, standby.Promote(ctx))
	replica.Reset()
	take(make1(t, nil, replica, config("b")), "after the failover")
}

func cutOff(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), "ALTER SYSTEM SET primary_conninfo = ''")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	eventually(t, func() bool {
		var n int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&n)
		return err == nil && n == 0
	}, "cut off")
}
