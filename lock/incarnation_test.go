package lock_test

import (
	"fmt"
	"slices"
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

// copyOf is what a backup holds of what tokens come from.
type copyOf struct {
	sequence, minutes int64
	n                 int
}

func backup(t *testing.T, pool *pgxpool.Pool) (c copyOf) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT (SELECT last_value FROM pgcoherence.lease_token), minutes, n FROM pgcoherence.incarnation").
		Scan(&c.sequence, &c.minutes, &c.n))
	return c
}

// Copies of all ages are restored one after the other, in every order, each under a server of its own as a copy is, and
// whether or not the copy knows of any other: tokens grow all the same. The clock goes on by a minute each time.
func TestTokensGrowOverRestoredCopies(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	clock := int64(1_000_000)
	tick := func() {
		clock++
		_, err := pool.Exec(ctx, fmt.Sprintf(`CREATE OR REPLACE FUNCTION pgcoherence.lease_minutes() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT %d::bigint $$`, clock))
		require.NoError(t, err)
	}

	anotherServer := func() {
		_, err := pool.Exec(ctx, "UPDATE pgcoherence.incarnation SET server = '-infinity'")
		require.NoError(t, err)
	}
	last := int64(0)
	take := func(why string) {
		// A process that has seen nothing: it cannot notice by itself.
		lease, err := make1(t, nil, pool, config("a")).TryAcquire(ctx, "k")
		require.NoError(t, err)
		require.Greater(t, lease.Token(), last, why)
		last = lease.Token()
		require.NoError(t, lease.Release(ctx))
	}

	var copies []copyOf
	tick()
	anotherServer()

	for range 4 {
		take("before")
		copies = append(copies, backup(t, pool))
		tick()
		anotherServer() // it restarts, and the copy does not know
		take("restarted")
	}

	for _, order := range permutations(len(copies)) {
		for _, i := range order {
			c := copies[i]
			_, err := pool.Exec(ctx, "SELECT setval('pgcoherence.lease_token', $1)", c.sequence)
			require.NoError(t, err)
			_, err = pool.Exec(ctx, "UPDATE pgcoherence.incarnation SET minutes = $1, n = $2, server = '-infinity'", c.minutes, c.n)
			require.NoError(t, err)
			tick()
			take(fmt.Sprintf("copy %d of %v", i, order))
		}
	}
}

func permutations(n int) (all [][]int) {
	var grow func(prefix []int)
	grow = func(prefix []int) {
		if len(prefix) == n {
			all = append(all, slices.Clone(prefix))
			return
		}
		for i := range n {
			if !slices.Contains(prefix, i) {
				grow(append(prefix, i))
			}
		}
	}
	grow(nil)
	return all
}

// previousRaise is raise.sql of the version before, which still runs beside this one while pods are being replaced.
const previousRaise = `UPDATE pgcoherence.incarnation
	SET n = greatest(n, (SELECT last_value >> 48 FROM pgcoherence.lease_token)) + 1, server = pg_postmaster_start_time(),
	    database = current_database(), relation = 'pgcoherence.lease'::regclass, raised_at = clock_timestamp(), reason = $2::text
	WHERE $1::boolean OR server <> pg_postmaster_start_time() OR database <> current_database()
	   OR relation <> 'pgcoherence.lease'::regclass
	RETURNING (setval('pgcoherence.lease_token', n::bigint << 48) >> 48)::integer`

// Pods of the version before and of this one raise the incarnation by turns, in every order: tokens grow.
func TestTokensGrowBesideThePreviousVersion(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	last := int64(0)
	for schedule := range 1 << 6 {
		for step := range 6 {
			if schedule>>step&1 == 0 {
				_, err := l.RaiseIncarnation(ctx, "this version")
				require.NoError(t, err)
			} else {
				var n int
				require.NoError(t, pool.QueryRow(ctx, previousRaise, true, "the version before").Scan(&n))
			}

			lease, err := make1(t, nil, pool, config("b")).TryAcquire(ctx, "k")
			require.NoError(t, err)
			require.Greater(t, lease.Token(), last, "step %d of %06b", step, schedule)
			last = lease.Token()
			require.NoError(t, lease.Release(ctx))
		}
	}
}
