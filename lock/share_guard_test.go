package lock_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// queueWith waits by a function in a goroutine and returns when it is in the queue at a place.
func queueWith(t testing.TB, l *lock.Locker, key string, place int, wait func() (*lock.Lease, error)) <-chan outcome {
	t.Helper()
	got := make(chan outcome, 1)
	go func() {
		lease, err := wait()
		got <- outcome{lease, err}
	}()
	eventually(t, func() bool {
		info, err := l.Inspect(context.Background(), key)
		return err == nil && info.Waiters == place
	}, "queues")
	return got
}

func held(t testing.TB, err error) *lock.HeldError {
	t.Helper()
	var h *lock.HeldError
	require.ErrorAs(t, err, &h)
	return h
}

func taken(t testing.TB, got <-chan outcome) *lock.Lease {
	t.Helper()
	o := <-got
	require.NoError(t, o.err)
	return o.lease
}

// begin begins a transaction that ends with the test at the latest.
func begin(t testing.TB, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(within(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func semaphore(t testing.TB, l *lock.Locker, n int) *lock.Semaphore {
	t.Helper()
	s, err := l.Semaphore("k", n)
	require.NoError(t, err)
	return s
}

// A guard under an older snapshot sees that the lease was given up meanwhile, as that of an exclusive lease does.
func TestShareGuardUnderOldSnapshot(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	for _, isolation := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		for name, take := range map[string]func() (*lock.Lease, error){
			"reader": func() (*lock.Lease, error) { return l.TryAcquireShared(ctx, "k") },
			"holder": func() (*lock.Lease, error) { return semaphore(t, l, 1).TryAcquire(ctx) },
		} {
			lease, err := take()
			require.NoError(t, err)
			tx := begin(t, pool)
			_, err = tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL "+isolation)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, "SELECT FROM account")
			require.NoError(t, err)
			require.NoError(t, lease.Release(ctx))

			var next *lock.Lease
			if name == "holder" {
				next, err = semaphore(t, l, 1).TryAcquire(ctx)
			} else {
				next, err = l.TryAcquire(ctx, "k")
			}

			require.NoError(t, err)
			require.Error(t, l.Forget(lease).Guard(ctx, tx), "%s %s", isolation, name)
			require.NoError(t, tx.Rollback(ctx))
			require.NoError(t, next.Release(ctx))
		}
	}
}

// A renewal without an answer may have bound the lease: until another one is answered, its session's end is the lease's.
func TestUnansweredBinding(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	l := make1(t, nil, pool, long("a", time.Second))
	lease := l.Grant("k", 1)
	require.Greater(t, lease.ValidFor(), time.Minute)
	lease.Unanswered(2*time.Second, time.Second)
	lease.Renewed(time.Now())
	require.Greater(t, lease.ValidFor(), time.Minute, "it was answered, and is bound to none")
	lease.Unanswered(0, time.Minute)
	require.Less(t, lease.ValidFor(), time.Minute)
	require.NoError(t, lease.Err())
	lease.Unanswered(2*time.Second, time.Second)
	var lost *lock.LostError
	require.ErrorAs(t, lease.Err(), &lost)
	require.Equal(t, lock.ReasonDisconnected, lost.Reason)
}
