package main

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// TestLock runs the measurement with next to no data, like TestCommands.
func TestLock(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	p := pace{10 * time.Millisecond, 60 * time.Millisecond}
	r, err := measureLock(t.Context(), lockPlan{
		lockPairs{Rounds: 2, Pace: p, Clients: []int{1, 4}},
		handOffPlan{Rounds: 1, Contenders: 6, Pods: 3, Hold: time.Millisecond, Pace: pace{100 * time.Millisecond, 500 * time.Millisecond}},
		guardPlan{Rounds: 2, Clients: 4, Pace: p},
		beatPlan{Leases: 50, Beats: 2, TTL: lock.MinTTL},
		200 * time.Millisecond,
		takeoverPlan{Rounds: 1, After: 500 * time.Millisecond},
	})
	require.NoError(t, err)

	want := []string{"lock.ratio.sql.1", "lock.ratio.sql_waits.1", "lock.sql_ratio", "lock.ratio.sql.4", "lock.ratio.sql_waits.4"}
	if _, err := findPgbench(); err == nil {
		want = append(want, "lock.sql_ratio.pgbench")
	}

	requireResults(t, r, append(want, "lock.handoff_p50_ms", "lock.tries_per_grant", "lock.guard_cost", "lock.heartbeat_ms.50",
		"lock.handoffs_under_snapshot_ratio", "lock.takeover_ms")...)

	titles := map[any]int{}
	for _, row := range r.rows {
		if len(row) > 1 {
			titles[row[1]]++
		}
	}

	require.Equal(t, 2, titles["lock"]-1, "two numbers of clients, and the hand-over")
	require.Equal(t, 1, titles["lock, from pod to pod"])
	require.Equal(t, 3, titles["cirello.io/pglock"])

	// Every peer has its rows, whether or not its server is there.
	missing, _ := r.Counts["not measured"].([]string)
	for _, name := range missing {
		require.Equal(t, 2, titles[name], name)
	}

	for program, title := range map[string]string{"redis-server": "redsync, appendfsync always", "etcd": "etcd, concurrency.Mutex"} {
		want := 3
		if _, err := exec.LookPath(program); err != nil {
			want = 0
		}
		require.Equal(t, want, titles[title], program)
	}
}

// TestLockPeersMissing: what is not there has a name, and no side.
func TestLockPeersMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p, r := &lockPeers{}, &report{Counts: map[string]any{}}
	require.NoError(t, p.startServers(t.Context(), 1, r))
	require.Empty(t, p.sides)
	require.Len(t, p.missing, 2)
	require.Contains(t, p.missing[0], "redis-server")
	require.Contains(t, p.missing[1], "etcd-server")
	require.Equal(t, p.missing, r.Counts["not measured"])
	require.NoError(t, p.close())
}

// TestContestFindsTwo: a lease that two hold at once ends the measurement.
func TestContestFindsTwo(t *testing.T) {
	t.Parallel()
	free := func(context.Context) error { return nil }
	c := &contest{
		plan: handOffPlan{Contenders: 4, Hold: 5 * time.Millisecond, Pace: pace{time.Second, time.Second}},
		take: func(context.Context, int) (func(context.Context) error, error) { return free, nil },
		pod:  func(int) int { return 0 },
	}

	// One after the other, so that the fields that a lease would guard are not raced for before it is found.
	ctx := t.Context()
	c.holding.Store(1)
	require.ErrorContains(t, c.turn(ctx, ctx, 0), "2 hold the lease at once")
	c.holding.Store(0)
	require.NoError(t, c.turn(ctx, ctx, 0))
	broken := errors.New("broken")
	c.take = func(context.Context, int) (func(context.Context) error, error) { return nil, broken }
	require.ErrorIs(t, c.turn(ctx, ctx, 0), broken)
}
