package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

type outcome struct {
	lease *lock.Lease
	err   error
}

// queue calls Acquire in a goroutine and returns when it is in the queue at a place.
func queue(t testing.TB, ctx context.Context, l *lock.Locker, key string, place int) <-chan outcome {
	t.Helper()
	got := make(chan outcome, 1)
	go func() {
		lease, err := l.Acquire(ctx, key)
		got <- outcome{lease, err}
	}()
	eventually(t, func() bool {
		info, err := l.Inspect(context.Background(), key)
		return err == nil && info.Waiters == place
	}, "queues")
	return got
}

// A waiter that gives up leaves the queue, and what it was handed goes on to the next.
func TestWaiterGivesUp(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	impatient, cancel := context.WithCancelCause(ctx)
	first, second := queue(t, impatient, l, "k", 1), queue(t, ctx, l, "k", 2)
	bored := errors.New("bored")
	cancel(bored)
	require.ErrorIs(t, (<-first).err, bored)
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, 1, info.Waiters)
	require.NoError(t, lease.Release(ctx))
	o := <-second
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
}

// A context that has ended gets nothing, whatever is free.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.Acquire(ctx, "k")
	require.ErrorIs(t, err, context.Canceled)
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, context.Canceled)
	expired, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second)) // a negative wait
	defer cancel()
	_, err = l.Acquire(expired, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	info, err := l.Inspect(context.Background(), "k")
	require.NoError(t, err)
	require.False(t, info.Held)
}

// A lease can be released with a context that has ended, as a deferred call often has.
func TestReleaseAfterEnd(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	ctx, cancel := context.WithCancel(within(t))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	cancel()
	require.NoError(t, lease.Err(), "the context bounds the wait only")
	require.NoError(t, lease.Release(ctx))
	info, err := l.Inspect(context.Background(), "k")
	require.NoError(t, err)
	require.False(t, info.Held)
}

// A waiter that dies, which is handed the lease all the same, delays the next by ClaimTTL and no more.
func TestWaiterDies(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("a")
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	// A process that died a moment ago left this row.
	_, err = pool.Exec(ctx, "INSERT INTO pgcoherence.lease_waiter (id, key) VALUES (gen_random_uuid(), 'k')")
	require.NoError(t, err)
	second := queue(t, ctx, l, "k", 2)
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	var handedFor, took float64
	require.NoError(t, lease.Release(ctx))
	require.NoError(t, pool.QueryRow(ctx, "SELECT extract(epoch FROM next_until - clock_timestamp())::float8 FROM pgcoherence.lease").Scan(&handedFor))
	var held *lock.HeldError
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorAs(t, err, &held)
	require.True(t, held.Queued, "nobody has it, and somebody comes first")
	o := <-second
	require.NoError(t, o.err)
	// By the database's clock: the time between what was promised to the dead one and the grant.
	require.NoError(t, pool.QueryRow(ctx, "SELECT extract(epoch FROM clock_timestamp() - since)::float8 FROM pgcoherence.lease").Scan(&took))
	require.InDelta(t, lock.DefaultClaimTTL.Seconds(), handedFor, 1)
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Zero(t, info.Waiters, "the dead one is out of the queue")
	require.NoError(t, o.lease.Release(ctx))
}

// A waiter that is alive and was taken for dead enters the queue anew.
func TestWaiterTakenForDead(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	waiting := queue(t, ctx, l, "k", 1)
	_, err = pool.Exec(ctx, "DELETE FROM pgcoherence.lease_waiter")
	require.NoError(t, err)
	eventually(t, func() bool {
		info, err := l.Inspect(ctx, "k")
		return err == nil && info.Waiters == 1
	}, "it is back")
	require.NoError(t, lease.Release(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
}

// Nobody releases: the first in the queue is there when the lease runs out.
func TestTakeoverAfterExpiry(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	dead := make1(t, nil, pool, short("dead"))
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	lease, err := dead.TryAcquire(ctx, "k")
	require.NoError(t, err)
	first, second := queue(t, ctx, l, "k", 1), queue(t, ctx, l, "k", 2)
	o := <-first
	require.NoError(t, o.err)
	require.Greater(t, o.lease.Token(), lease.Token())
	require.Empty(t, second)
	require.NoError(t, o.lease.Release(ctx))
	o = <-second
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
}

// Without a bus, with one that is not running, and with Run not called: waiters look for themselves.
func TestWaitWithoutEvents(t *testing.T) {
	t.Parallel()
	idle := func(t *testing.T, pool *pgxpool.Pool) bus.Bus {
		t.Helper()
		b, err := bus.NewPostgres(pool, nil)
		require.NoError(t, err)
		return b
	}
	for name, tc := range map[string]struct {
		bus func(*testing.T, *pgxpool.Pool) bus.Bus
		run bool
	}{
		"no bus":               {func(*testing.T, *pgxpool.Pool) bus.Bus { return nil }, true},
		"no bus, no Run":       {func(*testing.T, *pgxpool.Pool) bus.Bus { return nil }, false},
		"local":                {func(*testing.T, *pgxpool.Pool) bus.Bus { return bus.NewLocal() }, true},
		"a bus that never ran": {idle, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			holder := make1(t, tc.bus(t, pool), pool, config("a"))
			l := make1(t, tc.bus(t, pool), pool, config("b"))
			if tc.run {
				run(t, l)
			}
			lease, err := holder.TryAcquire(ctx, "k")
			require.NoError(t, err)
			first, second := queue(t, ctx, l, "k", 1), queue(t, ctx, l, "k", 2)
			require.NoError(t, lease.Release(ctx))
			o := <-first
			require.NoError(t, o.err)
			require.NoError(t, o.lease.Release(ctx))
			o = <-second
			require.NoError(t, o.err)
			require.NoError(t, o.lease.Release(ctx))
		})
	}
}

// Run ends while somebody waits.
func TestWaiterWhenRunEnds(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, stop := start(t, bus.NewLocal(), pool, config("a"))
	other := make1(t, nil, pool, config("b"))
	_, err := other.TryAcquire(ctx, "k")
	require.NoError(t, err)
	waiting := queue(t, ctx, l, "k", 1)
	require.NoError(t, stop())
	require.ErrorIs(t, (<-waiting).err, lock.ErrClosed)
	info, err := other.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Zero(t, info.Waiters)
}

// The row stays taken for the minimum hold, and then goes to who waits.
func TestMinHold(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	short, err := l.With(lock.Options{MinHold: time.Second})
	require.NoError(t, err)
	lease, err := short.TryAcquire(ctx, "k")
	require.NoError(t, err)
	waiting := queue(t, ctx, l, "k", 1)
	require.NoError(t, lease.Release(ctx))
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.True(t, info.Held)
	require.LessOrEqual(t, info.Remaining, time.Second)
	o := <-waiting
	require.NoError(t, o.err)
	var early bool
	require.NoError(t, pool.QueryRow(ctx, "SELECT since < $1::timestamptz FROM pgcoherence.lease", time.Now().Add(-patience)).Scan(&early))
	require.False(t, early)
	require.NoError(t, o.lease.Release(ctx))
}

func TestDo(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	type key struct{}
	failed := errors.New("failed")
	err := l.Do(context.WithValue(ctx, key{}, "v"), "k", func(ctx context.Context, lease *lock.Lease) error {
		require.Equal(t, "v", ctx.Value(key{}))
		_, err := l.TryAcquire(ctx, "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		require.NoError(t, lease.Err())
		return failed
	})
	require.ErrorIs(t, err, failed)
	require.NotErrorIs(t, err, lock.ErrLost)

	// The caller's context ends: renewed until fn has returned, released after it.
	own, cancel := context.WithCancel(ctx)
	require.NoError(t, l.Do(own, "k", func(inner context.Context, lease *lock.Lease) error {
		cancel()
		<-inner.Done()
		require.ErrorIs(t, context.Cause(inner), context.Canceled)
		begun := time.Now()
		eventually(t, func() bool { return time.Since(begun) > 1500*time.Millisecond }, "longer than the TTL")
		return lease.Err()
	}))
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.False(t, info.Held)

	// Lost while it runs: its context says so, and so does Do.
	thief := make1(t, nil, pool, config("thief"))
	err = l.Do(ctx, "k", func(ctx context.Context, _ *lock.Lease) error {
		_, err := thief.Steal(ctx, "k")
		require.NoError(t, err)
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), lock.ErrLost)
		return nil
	})
	require.ErrorIs(t, err, lock.ErrLost)

	require.Panics(t, func() {
		_ = l.Do(ctx, "p", func(context.Context, *lock.Lease) error { panic("p") })
	})
	lease, err := l.TryAcquire(ctx, "p")
	require.NoError(t, err, "released all the same")
	require.NoError(t, lease.Release(ctx))
}
