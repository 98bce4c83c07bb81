package lock_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

// led collects what an election's callbacks are called with.
type led struct {
	mu   sync.Mutex
	said []string
}

func (l *led) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, what)
}

func (l *led) has(what ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Equal(l.said, what)
}

func callbacks(t *testing.T, pool *pgxpool.Pool, owner string) (e *lock.Election, terms, leaders *led, stop func()) {
	t.Helper()
	l, _ := start(t, startBus(t, pool), pool, config(owner))
	e, err := l.Election("boss")
	require.NoError(t, err)
	terms, leaders = &led{}, &led{}
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan struct{})
	go func() {
		defer close(done)

		err := e.RunCallbacks(ctx, lock.LeaderCallbacks{
			OnStartedLeading: func(context.Context, lock.Term) { terms.add("started") }, // and returns at once
			OnStoppedLeading: func() { terms.add("stopped") },
			OnNewLeader: func(leader lock.Info) {
				leaders.add(leader.Owner)
				panic("a callback's own affair")
			},
		})
		if err != nil {
			t.Error(err)
		}
	}()

	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return e, terms, leaders, stop
}

// The callbacks are called in their order, for the process that leads and for those that watch, and the database says who
// leads.
func TestLeaderCallbacks(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	one, oneTerms, oneLeaders, stopOne := callbacks(t, pool, "one")
	eventually(t, func() bool { return oneTerms.has("started") && oneLeaders.has("one") }, "one leads")
	two, twoTerms, twoLeaders, _ := callbacks(t, pool, "two")
	eventually(t, func() bool { return twoLeaders.has("one") }, "two hears of it")
	is := func(e *lock.Election, want bool) {
		leads, err := e.IsLeader(ctx)
		require.NoError(t, err)
		require.Equal(t, want, leads)
		require.Equal(t, want, e.Leads())
	}
	is(one, true)
	is(two, false)

	eventually(t, func() bool {
		info, err := one.Leader(ctx)
		return err == nil && info.Waiters == 1
	}, "two is a candidate")
	require.NoError(t, one.Resign(ctx))
	eventually(t, func() bool {
		return twoTerms.has("started") && twoLeaders.has("one", "two") && oneLeaders.has("one", "two")
	}, "two leads")
	require.True(t, oneTerms.has("started", "stopped"))
	is(one, false)
	is(two, true)
	stopOne()
	require.True(t, oneTerms.has("started", "stopped"), "it was only a candidate")
}

// A process that believes it leads, and does not any more, is told so by the database.
func TestIsLeaderAsksTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a")) // nothing renews, nothing looks
	e, err := l.Election("boss")
	require.NoError(t, err)
	leads := make(chan struct{})
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- e.Run(running, func(ctx context.Context, _ lock.Term) error {
			close(leads)
			<-ctx.Done()
			return nil
		})
	}()

	<-leads
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET token = token + 1")
	require.NoError(t, err)
	require.True(t, e.Leads(), "it cannot know")
	is, err := e.IsLeader(ctx)
	require.NoError(t, err)
	require.False(t, is)
	cancel()
	require.NoError(t, <-done)
}

// Many that want overlapping sets of keys, in all orders, all get them, one after the other, and nobody has a key that
// another has.
func TestAcquireMany(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, startBus(t, pool), pool, config("a"))
	other, _ := start(t, startBus(t, pool), pool, config("b"))
	sets := [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "c"}, {"c", "a"}, {"b"}, {"d", "a"}}
	var mu sync.Mutex
	held := map[string]bool{}
	var all sync.WaitGroup
	for i, set := range sets {
		for range 2 {
			all.Go(func() {
				from := l
				if i%2 == 0 {
					from = other
				}
				for range 4 {
					leases, err := from.AcquireMany(ctx, set...)
					if err != nil {
						t.Error(err)
						return
					}
					mark := func(to bool) {
						mu.Lock()
						defer mu.Unlock()
						for j, key := range set {
							if leases[j].Key() != key || held[key] == to {
								t.Errorf("%s of %v", key, set)
							}
							held[key] = to
						}
					}
					mark(true)
					mark(false)
					for _, lease := range leases {
						if err := lease.Release(ctx); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	all.Wait()

	// What is given up leaves nothing behind.
	one, err := l.TryAcquire(ctx, "c")
	require.NoError(t, err)
	hurried, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() { _, err := other.AcquireMany(hurried, "c", "b", "a"); failed <- err }()
	eventually(t, func() bool {
		info, err := l.Inspect(ctx, "c")
		return err == nil && info.Waiters == 1
	}, "it waits for the last")
	_, err = l.TryAcquire(ctx, "a")
	require.ErrorIs(t, err, lock.ErrHeld, "and has the first")
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	leases, err := l.AcquireMany(ctx, "a", "b")
	require.NoError(t, err)
	require.Len(t, leases, 2)
	require.NoError(t, one.Release(ctx))
	_, err = l.AcquireMany(ctx)
	require.ErrorIs(t, err, lock.ErrKey)
}
