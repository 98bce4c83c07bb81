package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/lock"
)

// lockPlan is how much the command lock measures.
type lockPlan struct {
	Pairs   lockPairs
	HandOff handOffPlan
	Guards  guardPlan
	Beats   beatPlan
	Old     time.Duration // the age of the snapshot under which leases are handed around
	Dead    takeoverPlan
}

// lockPairs is how often leases that nobody else wants are taken and released.
type lockPairs struct {
	Rounds  int
	Pace    pace
	Clients []int
}

var (
	longLock = lockPlan{
		lockPairs{Rounds: 7, Pace: pace{250 * time.Millisecond, 700 * time.Millisecond}, Clients: []int{1, 16, 32}},
		handOffPlan{Rounds: 4, Contenders: 32, Pods: 4, Hold: 2 * time.Millisecond, Pace: pace{time.Second, 2500 * time.Millisecond}},
		guardPlan{Rounds: 9, Clients: 16, Pace: pace{150 * time.Millisecond, 600 * time.Millisecond}},
		beatPlan{Leases: 10_000, Beats: 20, TTL: 3 * time.Second},
		time.Minute,
		takeoverPlan{Rounds: 9, After: time.Second},
	}
	shortLock = lockPlan{
		lockPairs{Rounds: 3, Pace: pace{120 * time.Millisecond, 180 * time.Millisecond}, Clients: []int{1, 16, 32}},
		handOffPlan{Rounds: 1, Contenders: 32, Pods: 4, Hold: 2 * time.Millisecond, Pace: pace{300 * time.Millisecond, 900 * time.Millisecond}},
		guardPlan{Rounds: 5, Clients: 16, Pace: pace{50 * time.Millisecond, 220 * time.Millisecond}},
		beatPlan{Leases: 10_000, Beats: 7, TTL: 3 * time.Second},
		3 * time.Second,
		takeoverPlan{Rounds: 3, After: time.Second},
	}
)

func lockCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "leases: pairs per second, hand-over and guards, beside bare SQL, pglock, redsync, redislock and etcd",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := longLock
			if o.short {
				plan = shortLock
			}

			r, err := measureLock(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("lock: %w", err)
			}

			return o.keep(r)
		},
	}
}

// lockConnections are those of the pools of all sides, of the buses and the
// lockers, and some to spare.
const lockConnections = 280

func measureLock(ctx context.Context, plan lockPlan) (_ *report, err error) {
	s, err := startServer(ctx, lockConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "lock", Counts: map[string]any{}, Parameters: map[string]any{
		"rounds": plan.Pairs.Rounds, "slot_ms": plan.Pairs.Pace.length.Milliseconds(), "contenders": plan.HandOff.Contenders,
		"pods": plan.HandOff.Pods, "hold_ms": plan.HandOff.Hold.Milliseconds(), "guarding_clients": plan.Guards.Clients,
		"ttl_seconds": lockTTL.Seconds(),
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}
	most := plan.Pairs.Clients[len(plan.Pairs.Clients)-1]
	pool, err := s.pool(ctx, most, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	if err := makeLeases(ctx, pool); err != nil {
		return nil, err
	}
	peers, err := startLockPeers(ctx, s, max(most, plan.HandOff.Contenders), r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, peers.close()) }()

	if err := measurePairs(ctx, r, pool, peers, plan.Pairs); err != nil {
		return nil, err
	}
	if err := measurePgbench(ctx, r, s, &lockLease{pool: pool}, plan.Pairs); err != nil {
		return nil, err
	}
	if err := measureHandOff(ctx, r, s, peers, plan.HandOff); err != nil {
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	if err := measureGuards(ctx, r, pool, plan.Guards); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	if err := measureBeats(ctx, r, pool, plan.Beats); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	if err := measureUnderSnapshot(ctx, r, s, plan.HandOff, plan.Old); err != nil {
		return nil, fmt.Errorf("old snapshot: %w", err)
	}
	if err := measureTakeover(ctx, r, s, plan.Dead); err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return r, nil
}

// makeLeases makes the tables of leases: ours, and the bare one.
func makeLeases(ctx context.Context, pool *pgxpool.Pool) error {
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: warnings()}); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, `CREATE TABLE bare_lease (key text PRIMARY KEY, owner text NOT NULL, expires_at timestamptz NOT NULL)`)
	return err
}
