package lock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// TestQueriesPrepare: every statement is valid against the schema.
func TestQueriesPrepare(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	conn, err := pgx.Connect(t.Context(), db.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)
	require.NotEmpty(t, queries)
	for name, sql := range queries {
		require.NotContains(t, sql, "/*schema*/", name)
		_, err := conn.Prepare(t.Context(), name, sql)
		require.NoError(t, err, name)
	}
}

func TestAcquireRelease(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("alice")
	cfg.Options.Metadata = map[string]string{"job": "nightly"}
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	other := make1(t, bus.NewLocal(), pool, config("bob"))

	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "k", lease.Key())
	require.Positive(t, lock.Incarnation(lease.Token()))
	require.NoError(t, lease.Err())
	require.Greater(t, lease.ValidFor(), 10*time.Second)
	require.Less(t, lease.ValidFor(), lock.DefaultTTL)
	require.Equal(t, 1, l.Stats().Held)

	_, err = other.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, "alice", held.Owner)
	require.Equal(t, lease.Token(), held.Token)
	require.Equal(t, map[string]string{"job": "nightly"}, held.Metadata)
	require.Greater(t, held.Remaining, 10*time.Second)
	require.LessOrEqual(t, held.Remaining, lock.DefaultTTL)
	require.Less(t, held.Since, patience)
	require.False(t, held.Queued || held.Guarded)

	require.NoError(t, lease.Release(ctx))
	require.ErrorIs(t, lease.Err(), lock.ErrReleased)
	require.ErrorIs(t, context.Cause(lease.Context()), lock.ErrReleased)
	require.Zero(t, lease.ValidFor())
	require.ErrorIs(t, lease.Release(ctx), lock.ErrReleased)
	require.Zero(t, l.Stats().Held)

	again, err := other.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.Greater(t, again.Token(), lease.Token())
	require.NoError(t, again.Release(ctx))
}

// A failed try writes nothing: no row version, no lock, no transaction id. On a server of its own, where nobody else
// takes transaction ids.
func TestFailedTryWritesNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	server := pgtest.NewServer(t, &pgtest.Config{Settings: map[string]string{"autovacuum": "off"}, Logger: quiet})
	pool := sized(t, server.DSN(""), 4)
	require.NoError(t, makeSchema(ctx, pool))
	l := make1(t, nil, pool, config("a"))
	_, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	version := func() (v string) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT ctid::text || xmin::text || xmax::text FROM pgcoherence.lease").Scan(&v))
		return v
	}
	nextID := func() (id string) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&id))
		return id
	}
	was, before := version(), nextID()

	for range 5 {
		_, err := l.TryAcquire(ctx, "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		_, err = l.TryAcquireMany(ctx, "k")
		require.ErrorIs(t, err, lock.ErrHeld)
	}

	require.Equal(t, was, version())
	require.Equal(t, before, nextID())
	_, err = pool.Exec(ctx, "SELECT FROM pgcoherence.lease FOR KEY SHARE")
	require.NoError(t, err)
	require.NotEqual(t, before, nextID(), "the least of writes would have shown")
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	for name, key := range map[string]string{"empty": "", "long": strings.Repeat("k", lock.MaxKeyLen+1), "NUL": "a\x00b", "not UTF-8": "\xff"} {
		_, err := l.TryAcquire(ctx, key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		_, err = l.Acquire(ctx, key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		_, err = l.Steal(ctx, key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		_, err = l.Inspect(ctx, key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		_, err = l.TryAcquireMany(ctx, "fine", key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		_, err = l.Election(key)
		require.ErrorIs(t, err, lock.ErrKey, name)
		require.ErrorIs(t, l.Do(ctx, key, nil), lock.ErrKey, name)

		for _, err := range l.Watch(ctx, key) {
			require.ErrorIs(t, err, lock.ErrKey, name)
		}
	}

	_, err := l.TryAcquireMany(ctx)
	require.ErrorIs(t, err, lock.ErrKey)
	_, err = l.TryAcquireMany(ctx, "a", "b", "a")
	require.ErrorIs(t, err, lock.ErrKey)
	longest, err := l.TryAcquire(ctx, strings.Repeat("k", lock.MaxKeyLen))
	require.NoError(t, err)
	require.NoError(t, longest.Release(ctx))
}

// Sixty-four who want the same: one at a time, each once, tokens growing, and in the order in which they came.
func TestQueueIsFair(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var lockers []*lock.Locker
	for range 2 { // two processes, each with a bus
		l, _ := start(t, startBus(t, pool), pool, config("p"))
		lockers = append(lockers, l)
	}

	first, err := lockers[0].TryAcquire(ctx, "k")
	require.NoError(t, err)
	const contenders = 64
	var inside atomic.Int32
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	last := first.Token()
	for i := range contenders {
		wg.Go(func() {
			lease, err := lockers[i%2].Acquire(ctx, "k")
			if err != nil {
				t.Errorf("contender %d: %v", i, err)
				return
			}

			if n := inside.Add(1); n != 1 {
				t.Errorf("%d at once", n)
			}

			mu.Lock()
			order = append(order, i)

			if lease.Token() <= last {
				t.Errorf("token %d after %d", lease.Token(), last)
			}

			last = lease.Token()
			mu.Unlock()
			inside.Add(-1)

			if err := lease.Release(ctx); err != nil {
				t.Errorf("release: %v", err)
			}
		})
		// One after the other into the queue, so that there is an order to keep.
		eventually(t, func() bool {
			info, err := lockers[0].Inspect(ctx, "k")
			return err == nil && info.Waiters == i+1
		}, "contender %d queues", i)
	}

	before := lockers[0].Stats().Claims + lockers[1].Stats().Claims
	require.NoError(t, first.Release(ctx))
	wg.Wait()
	require.Len(t, order, contenders)

	for i, who := range order {
		require.Equal(t, i, who, "%v", order)
	}

	claims := lockers[0].Stats().Claims + lockers[1].Stats().Claims - before
	require.LessOrEqual(t, claims, int64(contenders+contenders/4), "woken one by one, not all at once")
	info, err := lockers[0].Inspect(ctx, "k")
	require.NoError(t, err)
	require.Zero(t, info.Waiters)
	require.False(t, info.Held)
}

// Many at once without any order: nobody is forgotten.
func TestQueueUnderContention(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	b := startBus(t, pool)
	l, _ := start(t, b, pool, config("p"))
	inside, total := 0, 0 // guarded by nothing but the lease
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 5 {
				err := l.Do(ctx, "k", func(context.Context, *lock.Lease) error {
					inside++
					if inside != 1 {
						return errors.New("not alone")
					}
					total++
					inside--
					return nil
				})
				if err != nil {
					t.Errorf("do: %v", err)
				}
			}
		})
	}

	wg.Wait()
	require.Equal(t, 80, total)
	require.Zero(t, l.Stats().Waiting)
}
