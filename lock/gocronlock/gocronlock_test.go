package gocronlock_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/lock/gocronlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

const patience = 30 * time.Second

var quiet = slog.New(slog.DiscardHandler)

func setup(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t, nil).Pool(t)
	require.NoError(t, lock.Migrate(t.Context(), pool, &lock.MigrateConfig{Logger: quiet}))
	return pool
}

func locker(t *testing.T, pool *pgxpool.Pool, owner string, o lock.Options) *lock.Locker {
	t.Helper()
	l, err := lock.New(nil, pool, &lock.Config{Owner: owner, Logger: quiet, Options: o, DrainTimeout: -1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// Two schedulers tick together many times: each tick's job runs once, because the first to run it holds its lease for
// the minimum time although the job takes none.
func TestLockerRunsOnce(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	var mu sync.Mutex
	runs := map[string][]time.Time{}
	for _, name := range []string{"one", "two"} {
		l := locker(t, pool, name, lock.Options{MinHold: 10 * time.Second}) // longer than the test
		s, err := gocron.NewScheduler(gocron.WithDistributedLocker(gocronlock.NewLocker(l)))
		require.NoError(t, err)

		_, err = s.NewJob(gocron.DurationJob(50*time.Millisecond), gocron.NewTask(func() {
			mu.Lock()
			defer mu.Unlock()
			runs[name] = append(runs[name], time.Now())
		}), gocron.WithName("nightly"))
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { require.NoError(t, s.Shutdown()) })
	}

	observer := locker(t, pool, "observer", lock.Options{})

	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(runs["one"])+len(runs["two"]) > 0
	}, patience, time.Millisecond, "somebody runs it")

	info, err := observer.Inspect(t.Context(), gocronlock.Prefix+"nightly")
	require.NoError(t, err)
	require.True(t, info.Held)

	// Many ticks later nobody else has, while the minimum hold lasts.
	begun := time.Now()
	require.Eventually(t, func() bool { return time.Since(begun) > time.Second }, patience, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()

	require.Equal(t, 1, len(runs["one"])+len(runs["two"]), "%v", runs)
}

func TestLocker(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	ctx := t.Context()
	one, two := gocronlock.NewLocker(locker(t, pool, "one", lock.Options{})), gocronlock.NewLocker(locker(t, pool, "two", lock.Options{}))
	held, err := one.Lock(ctx, "job")
	require.NoError(t, err)
	_, err = two.Lock(ctx, "job")
	require.ErrorIs(t, err, lock.ErrHeld)
	require.NoError(t, held.Unlock(ctx))
	require.NoError(t, held.Unlock(ctx), "gocron may unlock twice")
	again, err := two.Lock(ctx, "job")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET token = token + 1")
	require.NoError(t, err)
	require.ErrorIs(t, again.Unlock(ctx), lock.ErrLost)
}

// One machine runs the jobs; when it leaves, the other does.
func TestElector(t *testing.T) {
	t.Parallel()
	pool := setup(t)

	type machine struct {
		*gocronlock.Elector
		stop func()
		runs func() int
	}

	machines := make([]machine, 2)
	for i, name := range []string{"one", "two"} {
		e, err := locker(t, pool, name, lock.Options{}).Election("cron")
		require.NoError(t, err)
		elector := gocronlock.NewElector(e)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := elector.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		}()

		t.Cleanup(func() { cancel(); <-done })
		s, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
		require.NoError(t, err)
		var mu sync.Mutex
		n := 0
		_, err = s.NewJob(gocron.DurationJob(20*time.Millisecond), gocron.NewTask(func() {
			mu.Lock()
			defer mu.Unlock()
			n++
		}))
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { require.NoError(t, s.Shutdown()) })
		machines[i] = machine{elector, cancel, func() int { mu.Lock(); defer mu.Unlock(); return n }}
	}

	leader := -1
	require.Eventually(t, func() bool {
		for i, m := range machines {
			if m.IsLeader(t.Context()) == nil {
				leader = i
			}
		}
		return leader >= 0 && machines[leader].runs() > 3
	}, patience, time.Millisecond, "a leader runs jobs")

	other := machines[1-leader]
	require.ErrorIs(t, other.IsLeader(t.Context()), lock.ErrNotLeader)
	require.Zero(t, other.runs())
	machines[leader].stop()
	require.Eventually(t, func() bool { return other.runs() > 3 }, patience, time.Millisecond, "the other takes over")
}
