package robfigcronlock_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/lock/robfigcronlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

const patience = time.Minute

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
	background(t, l.Run)
	return l
}

func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// Two schedulers that fire every second: the job runs once, because its lease is held for the minimum time.
func TestOnce(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	var runs, fired atomic.Int32
	for _, name := range []string{"one", "two"} {
		l := locker(t, pool, name, lock.Options{TTL: time.Hour, MinHold: time.Hour})
		s := cron.New(cron.WithSeconds())
		count := func(job cron.Job) cron.Job {
			return cron.FuncJob(func() { job.Run(); fired.Add(1) })
		}
		_, err := s.AddJob("* * * * * *", cron.NewChain(count, robfigcronlock.Once(l, "nightly", quiet)).Then(cron.FuncJob(func() { runs.Add(1) })))
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { <-s.Stop().Done() })
	}

	require.Eventually(t, func() bool { return fired.Load() >= 4 }, patience, time.Millisecond)
	require.Equal(t, int32(1), runs.Load())
}

// A job gets its lease, can guard with it, and gives it up also when it panics or fails.
func TestJob(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	l := locker(t, pool, "a", lock.Options{})
	free := func() {
		t.Helper()
		info, err := l.Inspect(t.Context(), robfigcronlock.Prefix+"job")
		require.NoError(t, err)
		require.False(t, info.Held)
	}

	ran := false
	robfigcronlock.Job(l, "job", quiet, func(ctx context.Context, lease *lock.Lease) error {
		ran = true
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return lease.Guard(ctx, tx) })
	}).Run()
	require.True(t, ran)
	free()
	robfigcronlock.Job(l, "job", quiet, func(context.Context, *lock.Lease) error { return errors.New("no") }).Run()
	free()
	require.Panics(t, robfigcronlock.Job(l, "job", quiet, func(context.Context, *lock.Lease) error { panic("no") }).Run)
	free()
}

// Jobs run where the election is won, and nowhere else.
func TestLeader(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	var mu sync.Mutex
	ran := map[string]int{}
	var jobs []cron.Job
	var elections []*lock.Election
	for _, name := range []string{"one", "two"} {
		e, err := locker(t, pool, name, lock.Options{}).Election("cron")
		require.NoError(t, err)
		background(t, func(ctx context.Context) error { return e.RunCallbacks(ctx, lock.LeaderCallbacks{}) })
		elections = append(elections, e)

		jobs = append(jobs, robfigcronlock.Leader(e)(cron.FuncJob(func() {
			mu.Lock()
			defer mu.Unlock()
			ran[name]++
		})))
	}

	require.Eventually(t, func() bool { return elections[0].Leads() != elections[1].Leads() }, patience, time.Millisecond)

	for _, job := range jobs {
		job.Run()
	}

	require.Len(t, ran, 1)
}
