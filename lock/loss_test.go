package lock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

func short(owner string) *lock.Config {
	cfg := config(owner)
	cfg.Options.TTL = time.Second
	return cfg
}

func TestElapsed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.Equal(t, time.Second, lock.Elapsed(now, now.Add(time.Second)))
	// The machine was suspended: only the wall clock went on.
	require.GreaterOrEqual(t, lock.Elapsed(now.Round(0).Add(-time.Hour), now), time.Hour)
	for ttl, want := range map[time.Duration]time.Duration{
		time.Second: 900 * time.Millisecond, 15 * time.Second: 13500 * time.Millisecond, time.Hour: time.Hour - 2*time.Second,
	} {
		require.Equal(t, want, lock.Trust(ttl))
	}
}

// Nobody renews: the context ends before the lease does in the database, with the reason, and the hook is called.
func TestLocalDeadline(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	lost := make(chan lock.Reason, 2)
	cfg := short("a")
	cfg.Options.OnLost = func(_ *lock.Lease, reason lock.Reason) {
		lost <- reason
		panic("recovered")
	}
	l := make1(t, nil, pool, cfg).Hasty(500 * time.Millisecond)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)

	select {
	case <-lease.Done():
	case <-ctx.Done():
		t.Fatal("not lost")
	}

	var gone *lock.LostError
	require.ErrorAs(t, context.Cause(lease.Context()), &gone)
	require.Equal(t, lock.LostError{Key: "k", Token: lease.Token(), Reason: lock.ReasonExpired}, *gone)
	require.Equal(t, lock.ReasonExpired, <-lost)
	require.Zero(t, lease.ValidFor())
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrLost, "without asking")
	var one int
	require.NoError(t, tx.QueryRow(ctx, "SELECT 1").Scan(&one), "so the transaction lives")
	require.NoError(t, tx.Rollback(ctx))
	require.ErrorIs(t, lease.Release(ctx), lock.ErrLost)
	require.ErrorIs(t, lease.Release(ctx), lock.ErrReleased)
	require.Empty(t, lost, "once")
}

// A machine that was suspended: timers stood still, and the first look at the wall clock ends the lease.
func TestSuspendedMachine(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	lease.BackdateWall(time.Minute)
	require.Zero(t, lease.ValidFor())
	require.ErrorIs(t, lease.Err(), lock.ErrLost)
	require.ErrorIs(t, context.Cause(lease.Context()), lock.ErrLost)

	other, _ := start(t, nil, pool, config("b"))
	looked, err := other.TryAcquire(ctx, "other")
	require.NoError(t, err)
	looked.BackdateWall(time.Minute)
	select {
	case <-looked.Done(): // the loop of Run looks, nobody asks
	case <-ctx.Done():
		t.Fatal("not noticed")
	}
}

// Renewed for much longer than the TTL, in one statement for all leases.
func TestRenewal(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	leases, err := l.TryAcquireMany(ctx, "a", "b", "c", "d", "e")
	require.NoError(t, err)
	writers := func() (ids []string) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT array_agg(DISTINCT xmin::text) FROM pgcoherence.lease").Scan(&ids))
		return ids
	}
	granted := writers()
	outlive(t, pool, l, "e")
	renewed := writers()
	require.NotEqual(t, granted, renewed)
	require.Len(t, renewed, 1, "one transaction for all")

	for _, lease := range leases {
		require.NoError(t, lease.Err())
		require.NoError(t, lease.Release(ctx))
	}
}

// A row that somebody has locked delays no other lease, and is not taken for lost.
func TestLockedRowDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	leases, err := l.TryAcquireMany(ctx, "locked", "free")
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()

	_, err = tx.Exec(ctx, "SELECT FROM pgcoherence.lease WHERE key = 'locked' FOR UPDATE")
	require.NoError(t, err)

	select {
	case <-leases[0].Done(): // at its deadline
	case <-ctx.Done():
		t.Fatal("never lost")
	}

	require.ErrorIs(t, leases[0].Err(), lock.ErrLost)
	require.NoError(t, leases[1].Err())
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, leases[1].Release(ctx))
}

// The backend that renews is killed again and again: the lease stays.
func TestKilledBackend(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("victim")
	cfg.Options.TTL = 5 * time.Second // time to connect again on a busy machine
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)

	killed := 0
	eventually(t, func() bool {
		var n int
		if err := pool.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'pgcoherence lock victim'`).Scan(&n); err == nil {
			killed += n
		}
		time.Sleep(100 * time.Millisecond) // not waited for, only spaced out
		return killed > 3
	}, "killed whenever it is there")

	outlive(t, pool, l, "k")
	require.NoError(t, lease.Err())
	require.NoError(t, lease.Release(ctx))
}

// A pool that the application has used up does not cost it its leases.
func TestStarvedPool(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, _ := setup(t)
	pool := sized(t, db.DSN, 1)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	other := sized(t, db.DSN, 1)
	outlive(t, other, l, "k")
	require.NoError(t, lease.Err())
	conn.Release()
	require.NoError(t, lease.Release(ctx))
}

// No connection of its own: the pool stands in.
func TestNoConnectionOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := short("a")
	var dials atomic.Int32
	cfg.Connect = func(context.Context) (*pgx.Conn, error) {
		dials.Add(1)
		return nil, errors.New("too many connections")
	}
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	outlive(t, pool, l, "k")
	require.NoError(t, lease.Err())
	require.Positive(t, dials.Load())
	require.NoError(t, lease.Release(ctx))
}

// Somebody else has it: known from the next heartbeat on.
func TestTakenFromTheOutside(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"token": "UPDATE pgcoherence.lease SET token = token + 1", "ended": "UPDATE pgcoherence.lease SET expires_at = '-infinity'",
		"row": "DELETE FROM pgcoherence.lease",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			l, _ := start(t, bus.NewLocal(), pool, config("a"))
			lease, err := l.TryAcquire(ctx, "k")
			require.NoError(t, err)
			_, err = pool.Exec(ctx, change)
			require.NoError(t, err)

			select {
			case <-lease.Done():
			case <-ctx.Done():
				t.Fatal("not noticed")
			}

			var lost *lock.LostError
			require.ErrorAs(t, lease.Err(), &lost)
			require.Equal(t, lock.ReasonTaken, lost.Reason)
			require.Zero(t, l.Stats().Held)
		})
	}
}

// The end of Run: contexts end, nothing is granted any more, and what is being worked on is renewed until it is released.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := short("a")
	cfg.DrainTimeout = time.Minute
	l, stop := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	<-lease.Done()
	require.ErrorIs(t, lease.Err(), lock.ErrClosed)
	require.ErrorIs(t, lease.Err(), lock.ErrLost)
	_, err = l.TryAcquire(ctx, "other")
	require.ErrorIs(t, err, lock.ErrClosed)
	_, err = l.Acquire(ctx, "other")
	require.ErrorIs(t, err, lock.ErrClosed)
	_, err = l.TryAcquireMany(ctx, "x", "y")
	require.ErrorIs(t, err, lock.ErrClosed)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrClosed)
	require.NoError(t, tx.Rollback(ctx))
	other := make1(t, nil, pool, config("b"))
	outlive(t, pool, l, "k")
	require.Empty(t, ended, "Run waits for the release")
	_, err = other.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld, "still renewed")
	require.ErrorIs(t, lease.Release(ctx), lock.ErrClosed)
	require.NoError(t, <-ended)
	next, err := other.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.NoError(t, next.Release(ctx))
	require.ErrorIs(t, l.Run(ctx), lock.ErrRunning)
	require.False(t, l.Stats().Running)
}

// Nobody releases: Run ends all the same.
func TestRunEndsWithin(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := short("a")
	cfg.DrainTimeout = 50 * time.Millisecond
	l, stop := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.NoError(t, stop())
	require.Error(t, lease.Err())
	require.Zero(t, l.Stats().Held)
}
