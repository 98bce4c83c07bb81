package lock_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// Of many releases at once one succeeds and the others are told so.
func TestReleaseAtOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	for _, waited := range []bool{false, true} {
		lease, err := l.TryAcquire(ctx, "k")
		require.NoError(t, err)

		var next <-chan outcome
		if waited {
			next = queue(t, ctx, l, "k", 1)
		}

		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = lease.Release(ctx) })
		}

		all.Wait()

		succeeded := 0
		for _, err := range errs {
			if err == nil {
				succeeded++
				continue
			}
			require.ErrorIs(t, err, lock.ErrReleased)
			require.NotErrorIs(t, err, lock.ErrLost)
		}

		require.Equal(t, 1, succeeded)

		if waited {
			o := <-next
			require.NoError(t, o.err)
			require.NoError(t, o.lease.Release(ctx))
		}
	}
}

// OnLost is for losses: an ordinary shutdown is none, a theft is.
func TestOnLost(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	lost := make(chan lock.Reason, 10)
	cfg := config("a")
	cfg.Options.OnLost = func(_ *lock.Lease, reason lock.Reason) { lost <- reason }
	l, stop := start(t, bus.NewLocal(), pool, cfg)
	held, err := l.TryAcquire(ctx, "held")
	require.NoError(t, err)
	_, err = l.TryAcquire(ctx, "stolen")
	require.NoError(t, err)
	_, err = make1(t, bus.NewLocal(), pool, config("thief")).Steal(ctx, "stolen")
	require.NoError(t, err)
	require.Equal(t, lock.ReasonTaken, <-lost)
	require.NoError(t, stop())
	<-held.Done()
	require.ErrorIs(t, held.Err(), lock.ErrClosed)
	require.Empty(t, lost)
}

// A grant that nothing renews is said aloud, once.
func TestGrantWithoutRun(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var log lines
	cfg := config("a")
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l := make1(t, nil, pool, cfg)
	for _, key := range []string{"a", "b"} {
		_, err := l.TryAcquire(ctx, key)
		require.NoError(t, err)
	}
	require.Equal(t, 1, log.count("Run was not called"))

	var quietly lines
	cfg.Logger = slog.New(slog.NewTextHandler(&quietly, nil))
	running, _ := start(t, nil, pool, cfg)
	eventually(t, func() bool { return running.Stats().Running }, "runs")
	_, err := running.TryAcquire(ctx, "c")
	require.NoError(t, err)
	require.Zero(t, quietly.count("Run was not called"))
}

// A role that may not execute what it must is found when Run starts.
func TestExecuteIsChecked(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	role := db.Name + "_exec"
	_, err := pool.Exec(ctx, fmt.Sprintf(`CREATE ROLE %[1]q LOGIN PASSWORD 'app'`, role))
	require.NoError(t, err)
	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{AppRole: role, Logger: quiet}))
	_, err = pool.Exec(ctx, "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pgcoherence FROM PUBLIC")
	require.NoError(t, err)
	as := pool.Config()
	as.ConnConfig.User, as.ConnConfig.Password = role, "app"
	apps := open(t, as)
	l, _ := start(t, nil, apps, config("a"))
	lease, err := l.Acquire(ctx, "k")
	require.NoError(t, err, "what Migrate granted is enough")
	require.NoError(t, lease.Release(ctx))

	_, err = pool.Exec(ctx, fmt.Sprintf(`REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA pgcoherence FROM %q`, role))
	require.NoError(t, err)
	err = make1(t, nil, apps, config("b")).Run(ctx)
	require.ErrorIs(t, err, lock.ErrPrivilege)
	require.ErrorContains(t, err, "EXECUTE ON FUNCTION lease_try")
	t.Cleanup(func() {
		apps.Close()
		_, err := pool.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY %[1]q; DROP ROLE %[1]q`, role))
		require.NoError(t, err)
	})
}

// A savepoint that is released keeps the guard, one that is rolled back ends it, as documented; guarding again restores
// it.
func TestGuardInSavepoint(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var log lines
	cfg := config("a")
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l, _ := start(t, bus.NewLocal(), pool, cfg)

	guarded := func() bool {
		var n int
		err := pool.QueryRow(ctx, "SELECT 1 FROM pgcoherence.lease WHERE key = 'k' FOR UPDATE SKIP LOCKED").Scan(&n)
		return err != nil
	}

	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(ctx) }()

	inSavepoint := func(end func(pgx.Tx) error) {
		nested, err := tx.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, lease.Guard(ctx, nested))
		require.NoError(t, end(nested))
	}
	inSavepoint(func(nested pgx.Tx) error { return nested.Rollback(ctx) })
	require.False(t, guarded())
	require.NoError(t, lease.Guard(ctx, tx))
	require.True(t, guarded())
	inSavepoint(func(nested pgx.Tx) error { return nested.Rollback(ctx) })
	require.True(t, guarded(), "the outer guard does not end with an inner one")
	require.Equal(t, 1, log.count("guard inside a savepoint"))
	require.NoError(t, tx.Rollback(ctx))
	tx, err = pool.Begin(ctx)
	require.NoError(t, err)
	inSavepoint(func(nested pgx.Tx) error { return nested.Commit(ctx) })
	require.True(t, guarded())
}

// One Election is run twice: two candidates, one leader at a time, and no term ends another.
func TestElectionRunTwice(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(within(t))
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	e, err := l.Election("e")
	require.NoError(t, err)
	var leading, most atomic.Int32
	terms := make(chan int64, 100)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			err := e.Run(ctx, func(ctx context.Context, term lock.Term) error {
				most.Store(max(most.Load(), leading.Add(1)))
				defer leading.Add(-1)
				terms <- term.Lease.Token()
				<-ctx.Done()
				return context.Cause(ctx)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}

	last := int64(0)
	for range 6 {
		token := <-terms
		require.Greater(t, token, last)
		last = token
		eventually(t, e.Leads, "it leads")
		require.NoError(t, e.Resign(ctx))
	}

	cancel()
	all.Wait()
	require.Equal(t, int32(1), most.Load())
	require.False(t, e.Leads())
}
