package lock_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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
	eventually(t, func() bool {
		info, err := l.Inspect(ctx, "k")
		return err == nil && info.Waiters == 1
	}, "it leaves the queue")
	require.NoError(t, lease.Release(ctx))
	o := <-second
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
}

// A lease is handed over although the server takes no more notifications. The function stands in for a full queue, which
// fails the statement with the same code.
func TestHandOverWithoutNotifications(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	_, err := pool.Exec(ctx, `CREATE SEQUENCE refused;
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('refused') = 1 THEN RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON pgcoherence.lease FOR EACH ROW
			WHEN (NEW.next_id IS NOT NULL AND NEW.next_id IS DISTINCT FROM OLD.next_id) EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	holders, waiters := startBus(t, pool), startBus(t, pool)
	holder, _ := start(t, holders, pool, config("holder"))
	other, _ := start(t, waiters, pool, config("other"))
	eventually(t, func() bool { return holders.State() == bus.Live && waiters.State() == bus.Live }, "live")
	lease, err := holder.TryAcquire(ctx, "k")
	require.NoError(t, err)
	got := queue(t, ctx, other, "k", 1)
	require.NoError(t, lease.Release(ctx))
	o := <-got
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
	var refused int64
	require.NoError(t, pool.QueryRow(ctx, "SELECT last_value FROM refused").Scan(&refused))
	require.Equal(t, int64(2), refused, "once refused, once not")
}

// Who is the first ever to want a lease does not queue for it.
func TestAcquireUnknown(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	first, err := l.Acquire(ctx, "first") // learns where the incarnation holds
	require.NoError(t, err)
	require.NoError(t, first.Release(ctx))
	before := l.Stats().Tries
	lease, err := l.Acquire(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, before+2, l.Stats().Tries, "it looks whether it is free, and makes it")
	require.NoError(t, lease.Release(ctx))
	again, err := l.Acquire(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, before+3, l.Stats().Tries)
	require.NoError(t, again.Release(ctx))
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

// A waiter that dies, which is handed the lease all the same, delays the next by ClaimTTL and no more: all by the
// database's clock.
func TestWaiterDies(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("a")
	cfg.ClaimTTL = 1500 * time.Millisecond
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)

	// A process that died a moment ago left this row.
	_, err = pool.Exec(ctx, `INSERT INTO pgcoherence.lease_waiter (id, key) VALUES (gen_random_uuid(), 'k');
		UPDATE pgcoherence.lease SET queued = true`)
	require.NoError(t, err)
	second := queue(t, ctx, l, "k", 2)
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	clock := func() (now time.Time) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now))
		return now
	}
	earliest := clock().Add(cfg.ClaimTTL)
	require.NoError(t, lease.Release(ctx))
	var deadline time.Time
	require.NoError(t, pool.QueryRow(ctx, "SELECT next_until FROM pgcoherence.lease").Scan(&deadline))
	latest := clock().Add(cfg.ClaimTTL)
	require.False(t, deadline.Before(earliest) || deadline.After(latest), "%v is not ClaimTTL after the release", deadline)
	var held *lock.HeldError
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorAs(t, err, &held)
	require.True(t, held.Queued, "nobody has it, and somebody comes first")

	// Meanwhile the next one knows when its turn is: at the deadline, and not a beat later.
	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)
	var alive string
	require.NoError(t, pool.QueryRow(ctx, "SELECT max(id::text) FROM pgcoherence.lease_waiter WHERE owner = 'a'").Scan(&alive))
	var turn bool
	var freeIn int64
	before := clock()
	require.NoError(t, pool.QueryRow(ctx, queries["touch.sql"], []string{alive}, 5000, cfg.ClaimTTL.Milliseconds()).Scan(nil, &turn, &freeIn, nil, nil, nil))
	require.True(t, turn, "the first that is alive")
	require.LessOrEqual(t, freeIn, deadline.Sub(before).Milliseconds()+1)
	o := <-second
	require.NoError(t, o.err)
	var since time.Time
	require.NoError(t, pool.QueryRow(ctx, "SELECT since FROM pgcoherence.lease").Scan(&since))
	require.False(t, since.Before(deadline), "the dead one was given its time")
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
	dead := make1(t, nil, pool, config("dead")).Hasty(500 * time.Millisecond)
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

// The beat of waiters waits for no row: whoever claims a lease locks it and then its waiter, and would wait for the beat
// that waits for him.
func TestTouchWaitsForNobody(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	const id = "11111111-1111-1111-1111-111111111111"
	_, err = pool.Exec(ctx, `INSERT INTO pgcoherence.lease_waiter (id, key) VALUES ('`+id+`', 'k');
		UPDATE pgcoherence.lease SET queued = true`)
	require.NoError(t, err)
	require.NoError(t, lease.Release(ctx))
	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)

	touch := func() (found string, until, seen time.Time) {
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '100ms'") // of a wait that does not come about
			require.NoError(t, err)
			return tx.QueryRow(ctx, queries["touch.sql"], []string{id}, 5000, 2000).Scan(&found, nil, nil, nil, nil, nil)
		}))
		require.NoError(t, pool.QueryRow(ctx, "SELECT next_until, seen_at FROM pgcoherence.lease JOIN pgcoherence.lease_waiter ON id = next_id").Scan(&until, &seen))
		return found, until, seen
	}
	_, until, seen := touch()
	for _, table := range []string{"lease", "lease_waiter"} {
		claim, err := pool.Begin(ctx)
		require.NoError(t, err)
		_, err = claim.Exec(ctx, "SELECT FROM pgcoherence."+table+" FOR UPDATE")
		require.NoError(t, err)
		found, again, _ := touch()
		require.Equal(t, id, found, "it is not taken for dead")
		require.Equal(t, until, again, "it changes too, and is left for the next time")
		require.NoError(t, claim.Rollback(ctx))
	}

	found, untilNow, seenNow := touch()
	require.Equal(t, id, found)
	require.True(t, untilNow.After(until), "what it was handed stays its")
	require.True(t, seenNow.After(seen), "alive")
}

// A bus that ceases to hear notifications while somebody waits: the hand-over, which is a notification, is found all the
// same, because waiters are looked after more often.
func TestBusGoesDeafMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	var deaf atomic.Bool
	b, err := bus.NewPostgres(pool, &bus.Config{
		Logger: quiet, Name: "deaf", BeatInterval: 200 * time.Millisecond, ProbeTimeout: 400 * time.Millisecond,
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			if deaf.Load() {
				return nil, errors.New("no more connections")
			}
			return pgx.Connect(ctx, db.DSN)
		},
	})
	require.NoError(t, err)
	runBus(t, b)
	holder, _ := start(t, startBus(t, pool), pool, config("holder"))
	l, _ := start(t, b, pool, config("waiter"))
	lease, err := holder.TryAcquire(ctx, "k")
	require.NoError(t, err)
	first, second := queue(t, ctx, l, "k", 1), queue(t, ctx, l, "k", 2)
	deaf.Store(true)
	_, err = pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE '%listen%deaf%'`)
	require.NoError(t, err)
	eventually(t, func() bool { return b.State() == bus.Polling }, "it polls")
	require.NoError(t, lease.Release(ctx))
	o := <-first
	require.NoError(t, o.err)
	require.Equal(t, int64(1), holder.Stats().Handed)
	require.NoError(t, o.lease.Release(ctx))
	o = <-second
	require.NoError(t, o.err)
	require.Equal(t, bus.Polling, b.State())
	require.NoError(t, o.lease.Release(ctx))
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
	eventually(t, func() bool {
		info, err := other.Inspect(ctx, "k")
		return err == nil && info.Waiters == 0
	}, "it leaves the queue")
}

// The row stays taken for the minimum hold, and then goes to who waits.
func TestMinHold(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	const hold = time.Second
	short, err := l.With(lock.Options{MinHold: hold})
	require.NoError(t, err)
	lease, err := short.TryAcquire(ctx, "k")
	require.NoError(t, err)

	times := func() (since, until time.Time) {
		require.NoError(t, pool.QueryRow(ctx, `SELECT since, CASE WHEN isfinite(expires_at) THEN expires_at ELSE 'epoch' END
			FROM pgcoherence.lease`).Scan(&since, &until))
		return since, until
	}
	first, _ := times()
	waiting := queue(t, ctx, l, "k", 1)
	require.NoError(t, lease.Release(ctx))

	if _, until := times(); until.After(first) { // else the minimum had passed when it was released
		require.Equal(t, first.Add(hold), until, "it ends when the minimum has passed, by the database's clock")
	}

	o := <-waiting
	require.NoError(t, o.err)
	second, _ := times()
	require.False(t, second.Before(first.Add(hold)), "granted %v after the first", second.Sub(first))
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
		outlive(t, pool, l, "k")
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
