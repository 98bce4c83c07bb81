package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

type candidate struct {
	*lock.Election
	terms  chan lock.Term // one for each time it is elected
	causes chan error     // why each term's context ended
	lead   chan error     // what the term returns by itself
	ended  chan error     // what Run returned
	stop   func()
}

func campaign(t *testing.T, l *lock.Locker, name string) *candidate {
	t.Helper()
	e, err := l.Election(name)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	c := &candidate{
		Election: e, terms: make(chan lock.Term, 10), causes: make(chan error, 10), lead: make(chan error), ended: make(chan error, 1), stop: cancel,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ended <- e.Run(ctx, func(ctx context.Context, term lock.Term) error {
			c.terms <- term
			select {
			case <-ctx.Done():
				c.causes <- context.Cause(ctx)
				return ctx.Err()
			case err := <-c.lead:
				return err
			}
		})
	}()

	t.Cleanup(func() { cancel(); <-done })
	return c
}

func TestElection(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	one, _ := start(t, startBus(t, pool), pool, config("one"))
	two, _ := start(t, startBus(t, pool), pool, config("two"))
	observer, err := one.Election("boss")
	require.NoError(t, err)
	_, err = observer.Leader(ctx)
	require.ErrorIs(t, err, lock.ErrNoLeader)
	require.ErrorIs(t, observer.Resign(ctx), lock.ErrNotLeader)

	seen := make(chan string, 100)
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for info, err := range observer.Observe(watching) {
			if err == nil && info.Held {
				seen <- info.Owner
			}
		}
	}()
	a := campaign(t, one, "boss")
	term := <-a.terms
	require.True(t, a.Leads())
	require.NoError(t, term.Lease.Err())
	leader, err := observer.Leader(ctx)
	require.NoError(t, err)
	require.Equal(t, "one", leader.Owner)
	require.Equal(t, term.Lease.Token(), leader.Token)
	require.Equal(t, "one", <-seen)

	b := campaign(t, two, "boss")
	eventually(t, func() bool {
		info, err := one.Inspect(ctx, lock.ElectionPrefix+"boss")
		return err == nil && info.Waiters == 1
	}, "the other is a candidate")
	require.False(t, b.Leads())
	require.Empty(t, b.terms)
	require.NoError(t, a.Resign(ctx))
	require.ErrorIs(t, <-a.causes, lock.ErrResigned)
	second := <-b.terms
	require.Greater(t, second.Lease.Token(), term.Lease.Token())
	require.Equal(t, "two", <-seen)
	require.False(t, a.Leads())

	eventually(t, func() bool {
		info, err := one.Inspect(ctx, lock.ElectionPrefix+"boss")
		return err == nil && info.Waiters == 1
	}, "the first is a candidate again")

	// The leader is deposed: its context says so, and it is a candidate again.
	stolen, err := one.Steal(ctx, lock.ElectionPrefix+"boss")
	require.NoError(t, err)
	require.ErrorIs(t, <-b.causes, lock.ErrLost)
	require.NoError(t, stolen.Release(ctx))
	<-a.terms // it was first in the queue

	// What lead returns by itself is the end of Run, and the next is elected.
	failed := errors.New("failed")
	a.lead <- failed
	require.ErrorIs(t, <-a.ended, failed)
	<-b.terms
	b.stop()
	require.NoError(t, <-b.ended)
	eventually(t, func() bool { _, err := observer.Leader(ctx); return errors.Is(err, lock.ErrNoLeader) }, "released")
	stopWatching()
	<-watched
}

// Without the database's word for it nobody leads for longer than the local deadline.
func TestLeadsEnds(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	l := make1(t, nil, pool, short("a")) // not run: nobody renews
	c := campaign(t, l, "boss")
	term := <-c.terms
	require.ErrorIs(t, <-c.causes, lock.ErrLost)
	require.Zero(t, term.Lease.ValidFor())
	select {
	case <-c.terms: // elected again, by a new lease
	case <-time.After(patience):
		t.Fatal("not elected again")
	}
}
