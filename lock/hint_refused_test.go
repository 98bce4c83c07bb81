package lock_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// refuseHints makes every statement that sends a hint fail, as a commit does while the notification queue is full.
func refuseHints(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(context.Background(), `CREATE OR REPLACE FUNCTION pgcoherence.tell_heir(heir uuid, by_channel text, by_prefix text)
			RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			IF heir IS NOT NULL AND by_channel IS NOT NULL THEN
				RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000';
			END IF;
		END $$`)
	require.NoError(t, err)
}

// handOver is one way in which a key comes to who waits for it.
type handOver struct {
	take func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) // of the holder
	wait func(ctx context.Context, l *lock.Locker) (*lock.Lease, error)
	pass func(ctx context.Context, l *lock.Locker, lease *lock.Lease, stop func() error) error
}

// Whatever statement hands a lease or a share over, it does so although the server takes no notifications.
func TestHandOverWhileHintsAreRefused(t *testing.T) {
	t.Parallel()
	alone := func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) { return l.Acquire(ctx, "k") }
	shared := func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) { return l.AcquireShared(ctx, "k") }

	place := func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) {
		s, err := l.Semaphore("k", 1)
		if err != nil {
			return nil, err
		}
		return s.Acquire(ctx)
	}

	release := func(ctx context.Context, _ *lock.Locker, lease *lock.Lease, _ func() error) error {
		return lease.Release(ctx)
	}
	for name, way := range map[string]handOver{
		"release":            {alone, alone, release},
		"release of a share": {shared, alone, release},
		"resize": {place, place, func(ctx context.Context, l *lock.Locker, _ *lock.Lease, _ func() error) error {
			s, err := l.Semaphore("k", 2)
			if err != nil {
				return err
			}
			return s.Resize(ctx)
		}},
		"takeover": {alone, alone, func(_ context.Context, _ *lock.Locker, _ *lock.Lease, stop func() error) error {
			return stop() // the session ends with Run
		}},
		"takeover of a share": {shared, alone, func(_ context.Context, _ *lock.Locker, _ *lock.Lease, stop func() error) error { return stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			holders, waiters := startBus(t, pool), startBus(t, pool)
			holder, stop := start(t, holders, pool, long("holder", 500*time.Millisecond))
			other, _ := start(t, waiters, pool, long("other", 0))
			eventually(t, func() bool { return holders.State() == bus.Live && waiters.State() == bus.Live }, "live")
			lease, err := way.take(ctx, holder)
			require.NoError(t, err)
			bound(t, pool, "k")
			refuseHints(t, pool)
			got := queueWith(t, other, "k", 1, func() (*lock.Lease, error) { return way.wait(ctx, other) })
			require.NoError(t, way.pass(ctx, holder, lease, stop))
			next := taken(t, got)
			require.NoError(t, next.Release(ctx))
		})
	}
}

// One who leaves a queue lets those behind in, although the server takes no notifications.
func TestLeaveWhileHintsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	b := startBus(t, pool)
	l, _ := start(t, b, pool, config("a"))
	eventually(t, func() bool { return b.State() == bus.Live }, "live")
	_, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	refuseHints(t, pool)
	impatient, cancel := context.WithCancel(ctx)
	writer := queue(t, impatient, l, "k", 1)
	reader := queueWith(t, l, "k", 2, func() (*lock.Lease, error) { return l.AcquireShared(ctx, "k") })
	cancel()
	require.ErrorIs(t, (<-writer).err, context.Canceled)
	require.NoError(t, taken(t, reader).Release(ctx))
}
