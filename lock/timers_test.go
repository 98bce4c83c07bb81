package lock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

// unconnected is a Locker without a database, for what is decided without one.
func unconnected(t *testing.T, o lock.Options) *lock.Locker {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	cfg := config("a")
	cfg.Options = o
	return make1(t, nil, pool, cfg)
}

// A lease that nobody renews ends a tenth of its TTL before it does in the database, to the nanosecond, and one that is
// renewed ends so long after the renewal was sent.
func TestDeadlineTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan lock.Reason, 2)
		l := unconnected(t, lock.Options{TTL: 10 * time.Second, OnLost: func(_ *lock.Lease, r lock.Reason) { lost <- r }})
		lease := l.Grant("k", 1)
		require.Equal(t, 9*time.Second, lease.ValidFor())
		time.Sleep(5 * time.Second)
		sent := time.Now()
		time.Sleep(2 * time.Second) // until the answer arrives
		lease.Renewed(sent)
		require.Equal(t, 7*time.Second, lease.ValidFor(), "counted from the request")
		time.Sleep(7*time.Second - 1)
		synctest.Wait()
		require.NoError(t, lease.Err())
		require.Empty(t, lost)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, lock.ReasonExpired, <-lost)
		require.ErrorIs(t, context.Cause(lease.Context()), lock.ErrLost)
		require.Zero(t, l.Stats().Held)
		lease.Renewed(time.Now())
		require.ErrorIs(t, lease.Err(), lock.ErrLost, "an answer that comes too late brings nothing back")
	})
}

// A heartbeat is due a third of the TTL after the last renewal, and takes along whatever has come half as far.
func TestHeartbeatTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := unconnected(t, lock.Options{TTL: 30 * time.Second})
		begun := time.Now()
		due := func(want int, after time.Duration) {
			t.Helper()
			n, at := l.Due()
			require.Equal(t, want, n)
			require.Equal(t, after, at.Sub(begun))
		}

		l.Grant("a", 1)
		due(0, 10*time.Second)
		time.Sleep(4 * time.Second)
		b := l.Grant("b", 2)
		due(0, 10*time.Second)
		time.Sleep(time.Second)
		due(1, 10*time.Second) // a would be taken along by now
		time.Sleep(5 * time.Second)
		due(2, 10*time.Second) // a is due, and b has come half as far
		b.Renewed(time.Now())
		due(1, 10*time.Second)
		short, err := l.With(lock.Options{TTL: 3 * time.Second})
		require.NoError(t, err)
		short.Grant("c", 3)
		time.Sleep(time.Second)
		due(2, 10*time.Second) // a still, and c
	})
}
