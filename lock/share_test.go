package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// wait calls a function that takes a lease in a goroutine and returns when it is in the queue at a place.
func wait(ctx context.Context, t testing.TB, l *lock.Locker, key string, place int, take func(context.Context) (*lock.Lease, error)) <-chan outcome {
	t.Helper()
	got := make(chan outcome, 1)
	go func() {
		lease, err := take(ctx)
		got <- outcome{lease, err}
	}()
	eventually(t, func() bool {
		info, err := l.Inspect(context.Background(), key)
		return err == nil && info.Waiters == place
	}, "queues")
	return got
}

func shared(l *lock.Locker, key string) func(context.Context) (*lock.Lease, error) {
	return func(ctx context.Context) (*lock.Lease, error) { return l.AcquireShared(ctx, key) }
}

func take(t testing.TB, got <-chan outcome) *lock.Lease {
	t.Helper()
	o := <-got
	require.NoError(t, o.err)
	return o.lease
}

// Readers hold a key beside one another, a writer alone, and nobody passes by those who came before: neither a reader by a
// writer that waits, nor a writer by readers. Readers who wait behind one another come in together.
func TestShared(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	other, _ := start(t, bus.NewLocal(), pool, config("b"))
	first, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	second, err := other.AcquireShared(ctx, "k")
	require.NoError(t, err)
	require.Greater(t, second.Token(), first.Token())

	_, err = l.TryAcquire(ctx, "k")
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	require.True(t, held.Shared)
	require.Equal(t, "a", held.Owner)
	_, err = l.TryAcquireMany(ctx, "other", "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.True(t, info.Held)
	require.Equal(t, 2, info.Holders)
	holders, err := l.Holders(ctx, "k", 0, 0)
	require.NoError(t, err)
	require.Len(t, holders, 2)
	require.Equal(t, []int64{first.Token(), second.Token()}, []int64{holders[0].Token, holders[1].Token})
	require.Equal(t, "b", holders[1].Owner)

	writer := queue(t, ctx, other, "k", 1)
	_, err = l.TryAcquireShared(ctx, "k")
	require.ErrorAs(t, err, &held)
	require.True(t, held.Queued, "a writer waits")
	var readers []<-chan outcome
	for i := range 4 {
		readers = append(readers, wait(ctx, t, l, "k", 2+i, shared(l, "k")))
	}
	last := queue(t, ctx, l, "k", 6)
	require.NoError(t, first.Release(ctx))
	require.Empty(t, writer)
	require.NoError(t, second.Release(ctx))
	w := take(t, writer)
	require.Greater(t, w.Token(), second.Token())
	for _, r := range readers {
		require.Empty(t, r)
	}
	require.NoError(t, w.Release(ctx))
	var in []*lock.Lease
	for _, r := range readers {
		in = append(in, take(t, r))
	}
	require.True(t, slices.IsSortedFunc(in, func(a, b *lock.Lease) int { return int(a.Token() - b.Token()) }), "in their order")
	require.Empty(t, last)
	for _, lease := range in {
		require.NoError(t, lease.Err())
		require.NoError(t, lease.Release(ctx))
		require.ErrorIs(t, lease.Release(ctx), lock.ErrReleased)
	}
	require.NoError(t, take(t, last).Release(ctx))
	info, err = l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.False(t, info.Held)
	require.Zero(t, info.Holders)
}

// A writer that gives up lets in the readers behind it at once, beside those who are in.
func TestSharedBehindAWriterThatGivesUp(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	first, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	impatient, cancel := context.WithCancel(ctx)
	writer := queue(t, impatient, l, "k", 1)
	reader := wait(ctx, t, l, "k", 2, shared(l, "k"))
	cancel()
	require.Error(t, (<-writer).err)
	second := take(t, reader)
	require.NoError(t, first.Err())
	require.NoError(t, first.Release(ctx))
	require.NoError(t, second.Release(ctx))
}

// Shares are renewed as other leases are, and those of an owner that died end with their TTL.
func TestSharedOutlivesItsTTL(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	dead := make1(t, bus.NewLocal(), pool, short("dead")) // nothing renews what it holds
	first, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	lost, err := dead.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	<-lost.Done()
	eventually(t, func() bool {
		holders, err := l.Holders(ctx, "k", 0, 0)
		return err == nil && len(holders) == 1
	}, "it ends")
	outlive(t, pool, l, "k")
	require.NoError(t, first.Err())
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, first.Guard(ctx, tx))
	require.NoError(t, tx.Rollback(ctx))
	writer := queue(t, ctx, l, "k", 1)
	require.NoError(t, first.Release(ctx))
	require.NoError(t, take(t, writer).Release(ctx))
	var left int
	require.NoError(t, pool.QueryRow(ctx, "UPDATE pgcoherence.lease_share SET expires_at = expires_at - interval '1 h' RETURNING 1").Scan(&left))
	require.NoError(t, l.Purge(ctx))
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.lease_share").Scan(&left))
	require.Zero(t, left, "rows of the dead are deleted")
}

// A reader's guard is waited for by the writer, and a holder's guard by whoever takes its place; others are not delayed.
func TestShareGuards(t *testing.T) {
	t.Parallel()
	for name, semaphore := range map[string]int{"shared": 0, "semaphore": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			l, _ := start(t, bus.NewLocal(), pool, config("a"))
			enter := l.TryAcquireShared
			next := l.TryAcquire
			if semaphore > 0 {
				s, err := l.Semaphore("k", semaphore)
				require.NoError(t, err)
				enter = func(ctx context.Context, _ string) (*lock.Lease, error) { return s.TryAcquire(ctx) }
				next = enter
			}

			guarded, err := enter(ctx, "k")
			require.NoError(t, err)
			beside, err := enter(ctx, "k")
			require.NoError(t, err)
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(ctx) }()

			require.NoError(t, guarded.Guard(ctx, tx))
			require.NoError(t, guarded.Release(ctx), "a release waits for no guard")

			if semaphore == 0 {
				require.NoError(t, beside.Release(ctx))
			}

			_, err = next(ctx, "k")
			var held *lock.HeldError
			require.ErrorAs(t, err, &held)
			require.True(t, held.Guarded)
			late, err := pool.Begin(ctx)
			require.NoError(t, err)
			require.Error(t, l.Forget(guarded).Guard(ctx, late), "what was released guards nothing any more")
			require.NoError(t, late.Rollback(ctx))
			require.NoError(t, tx.Commit(ctx))
			lease, err := next(ctx, "k")
			require.NoError(t, err)
			require.Greater(t, lease.Token(), guarded.Token())
		})
	}
}

// A semaphore lets in as many as it says, in their order, and Resize changes that while it is held.
func TestSemaphore(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var log lines
	cfg := config("a")
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	two, err := l.Semaphore("k", 2)
	require.NoError(t, err)
	first, err := two.TryAcquire(ctx)
	require.NoError(t, err)
	second, err := two.Acquire(ctx)
	require.NoError(t, err)
	_, err = two.TryAcquire(ctx)
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, 2, held.Limit)
	_, err = l.TryAcquireShared(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld, "readers are others")
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)

	four, err := l.Semaphore("k", 4)
	require.NoError(t, err)
	for range 2 {
		_, err = four.TryAcquire(ctx)
		require.ErrorIs(t, err, lock.ErrHeld, "the number it is held with counts")
	}
	require.Equal(t, 1, log.count("another number of holders"))
	third, fourth := wait(ctx, t, l, "k", 1, two.Acquire), wait(ctx, t, l, "k", 2, two.Acquire)
	require.NoError(t, four.Resize(ctx))
	a, b := take(t, third), take(t, fourth)
	require.Less(t, a.Token(), b.Token())
	info, err := l.Inspect(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, 4, info.Limit)
	require.Equal(t, 4, info.Holders)

	require.NoError(t, two.Resize(ctx))
	next := wait(ctx, t, l, "k", 1, two.Acquire)
	require.NoError(t, a.Release(ctx))
	require.NoError(t, b.Release(ctx))
	require.Empty(t, next, "two are in still")
	require.NoError(t, first.Release(ctx))
	require.NoError(t, take(t, next).Release(ctx))
	require.NoError(t, second.Release(ctx))
	require.NoError(t, four.Resize(ctx), "nobody holds it")
	require.NoError(t, four.Do(ctx, func(context.Context, *lock.Lease) error {
		info, err := l.Inspect(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, 4, info.Limit)
		return nil
	}))

	for _, n := range []int{-1, 0, lock.MaxHolders + 1} {
		_, err := l.Semaphore("k", n)
		require.ErrorIs(t, err, lock.ErrConfig)
	}
	_, err = l.Semaphore("", 1)
	require.ErrorIs(t, err, lock.ErrKey)
}

// Steal ends all shares at once, and no release of one of them brings the group back.
func TestStealFromSharers(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, short("a"))
	first, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	second, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	stolen, err := l.Steal(ctx, "k")
	require.NoError(t, err)

	for _, lease := range []*lock.Lease{first, second} {
		<-lease.Done()
		require.ErrorIs(t, lease.Err(), lock.ErrLost)
		require.ErrorIs(t, lease.Release(ctx), lock.ErrLost)
	}

	outlive(t, pool, l, "k")
	require.NoError(t, stolen.Err())
	require.NoError(t, stolen.Release(ctx))
}

// sharing counts who is in.
type sharing struct{ readers, writers, holders atomic.Int32 }

// Whatever comes in whatever order, gives up, or is guarded: a writer is alone, never more than n hold the semaphore, guarded
// writes carry tokens that grow per key, and all come to their turn.
func TestSharingModel(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var lockers []*lock.Locker
	for i := range 3 {
		l, _ := start(t, startBus(t, pool), pool, config(fmt.Sprint("pod ", i)))
		lockers = append(lockers, l)
	}

	const n = 3
	var rooms [2]sharing
	var granted, gaveUp atomic.Int32
	var all sync.WaitGroup
	for i := range 18 {
		l := lockers[i%len(lockers)]
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		all.Go(func() {
			for range 12 {
				room := rng.IntN(len(rooms))
				r, key := &rooms[room], fmt.Sprint("room ", room)
				kind := rng.IntN(4)
				wait, cancel := ctx, context.CancelFunc(func() {})
				if rng.IntN(4) == 0 {
					wait, cancel = context.WithTimeout(ctx, time.Duration(1+rng.IntN(40))*time.Millisecond)
				}

				s, err := l.Semaphore(key, n)
				require.NoError(t, err)
				var lease *lock.Lease
				count := &r.writers
				switch kind {
				case 0:
					lease, err = l.Acquire(wait, key)
				case 1:
					lease, err = s.Acquire(wait)
					count = &r.holders
				default:
					lease, err = l.AcquireShared(wait, key)
					count = &r.readers
				}

				cancel()

				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("acquire: %v", err)
					}
					gaveUp.Add(1)
					continue
				}

				granted.Add(1)
				count.Add(1)

				readers, writers, holders := r.readers.Load(), r.writers.Load(), r.holders.Load()
				if writers > 1 || holders > n || min(readers, 1)+min(writers, 1)+min(holders, 1) > 1 {
					t.Errorf("together: %d readers, %d writers, %d holders", readers, writers, holders)
				}

				tx, err := pool.Begin(ctx)
				if err == nil {
					err = lease.Guard(ctx, tx)
				}

				if err == nil && kind == 0 { // a writer's token is larger than all before
					var tag int64
					err = tx.QueryRow(ctx, "UPDATE account SET writer = $2 WHERE id = $1 AND writer < $2 RETURNING id", room+1, lease.Token()).Scan(&tag)
				}

				if err == nil {
					err = tx.Commit(ctx)
				}
				if err != nil {
					t.Errorf("guarded write: %v", err)
				}

				count.Add(-1)

				if err := lease.Release(ctx); err != nil {
					t.Errorf("release: %v", err)
				}
			}
		})
	}

	all.Wait()
	require.Positive(t, granted.Load())

	eventually(t, func() bool {
		var left int
		err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pgcoherence.lease_share WHERE expires_at > clock_timestamp())
			+ (SELECT count(*) FROM pgcoherence.lease_waiter) + (SELECT count(*) FROM pgcoherence.lease WHERE expires_at > clock_timestamp())`).Scan(&left)
		return err == nil && left == 0
	}, "nothing is left")

	t.Logf("%d granted, %d gave up", granted.Load(), gaveUp.Load())
}

// Under other isolation levels statements that conflict are repeated.
func TestSharingAtOtherIsolation(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, _ := setup(t)
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		cfg, err := pgxpool.ParseConfig(db.DSN)
		require.NoError(t, err)
		cfg.ConnConfig.RuntimeParams["default_transaction_isolation"] = string(level)
		pool := open(t, cfg)
		l, _ := start(t, bus.NewLocal(), pool, config("a"))
		s, err := l.Semaphore(string(level), 2)
		require.NoError(t, err)
		var in atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 3 {
					err := s.Do(ctx, func(context.Context, *lock.Lease) error {
						defer in.Add(-1)
						if in.Add(1) > 2 {
							t.Error("more than two")
						}
						return nil
					})
					if err != nil {
						t.Errorf("do: %v", err)
					}
				}
			})
		}

		all.Wait()
	}
}

// Clients of the SQL functions share with Go, in one queue.
func TestSharingBySQL(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("go"))
	call := func(sql string, args ...any) (token *int64) {
		t.Helper()
		require.NoError(t, pool.QueryRow(ctx, sql, args...).Scan(&token))
		return token
	}
	is := func(sql string, args ...any) (ok bool) {
		t.Helper()
		require.NoError(t, pool.QueryRow(ctx, sql, args...).Scan(&ok))
		return ok
	}
	const waiter = "0d9c7f0e-0f4b-4b57-9f0e-9c1f7f6d2a11"
	lease, err := l.TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	reader := call("SELECT token FROM pgcoherence.lease_acquire_shared('k', 'sql', '15 s')")
	require.Greater(t, *reader, lease.Token())
	require.Nil(t, call("SELECT token FROM pgcoherence.lease_acquire('k', 'sql', '15 s', $1)", waiter))
	require.Nil(t, call("SELECT token FROM pgcoherence.lease_acquire_shared('k', 'sql', '15 s')"), "a writer waits")
	require.True(t, is("SELECT pgcoherence.lease_renew('k', $1, '20 s')", *reader))
	_, err = pool.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *reader)
	require.NoError(t, err)
	require.True(t, is("SELECT pgcoherence.lease_release('k', $1)", *reader))
	require.False(t, is("SELECT pgcoherence.lease_release('k', $1)", *reader))
	require.False(t, is("SELECT pgcoherence.lease_renew('k', $1, '20 s')", *reader))
	_, err = pool.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *reader)
	require.Error(t, err)
	require.NoError(t, lease.Release(ctx))
	writer := call("SELECT token FROM pgcoherence.lease_acquire('k', 'sql', '15 s', $1)", waiter)
	require.NotNil(t, writer)
	require.True(t, is("SELECT pgcoherence.lease_release('k', $1)", *writer))

	s, err := l.Semaphore("k", 2)
	require.NoError(t, err)
	held, err := s.TryAcquire(ctx)
	require.NoError(t, err)
	require.NotNil(t, call("SELECT token FROM pgcoherence.semaphore_acquire('k', 2, 'sql', '15 s')"))
	require.Nil(t, call("SELECT token FROM pgcoherence.semaphore_acquire('k', 2, 'sql', '15 s', $1)", waiter))
	require.NoError(t, held.Release(ctx))
	require.NotNil(t, call("SELECT token FROM pgcoherence.semaphore_acquire('k', 2, 'sql', '15 s', $1)", waiter))
	require.True(t, is("SELECT pgcoherence.semaphore_resize('k', 3)"))
	for _, bad := range []string{"semaphore_acquire('k', 0, 'sql', '15 s')", "semaphore_resize('k', 1001)", "lease_acquire_shared('', 'sql', '15 s')"} {
		_, err := pool.Exec(ctx, "SELECT pgcoherence."+bad)
		require.ErrorContains(t, err, "22023")
	}
}
