package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// sessionPlan is how much the command session measures.
type sessionPlan struct {
	Rounds    int           // of reads from memory
	Reads     int           // of one session in a round, for the slow sides a hundredth
	Rotation  int           // sessions that take turns
	Mix       time.Duration // of creations, reads and uses together
	Clients   int
	Revokes   int
	Rows      int // sessions in the table
	Cold      int // reads of sessions that no memory holds
	Lists     int
	Expired   int // rows for the sweep
	SweepRows int // sessions in the table that the sweep looks after
}

var (
	longSession = sessionPlan{
		Rounds: 9, Reads: 300_000, Rotation: 10_000, Mix: 15 * time.Second, Clients: 64, Revokes: 400,
		Rows: 1_000_000, Cold: 6_000, Lists: 300, Expired: 100_000, SweepRows: 10_000_000,
	}
	shortSession = sessionPlan{
		Rounds: 3, Reads: 100_000, Rotation: 10_000, Mix: 3 * time.Second, Clients: 64, Revokes: 100,
		Rows: 60_000, Cold: 1_500, Lists: 60, Expired: 30_000, SweepRows: 300_000,
	}
)

func sessionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "session",
		Short: "sessions: reads, statements, revocation and the sweep, beside scs' pgxstore, its redisstore and a map",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := longSession
			if o.short {
				plan = shortSession
			}

			r, err := measureSession(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("session: %w", err)
			}

			return o.keep(r)
		},
	}
}

// sessionPods are pods a, b and c: one that revokes and two that have to hear of it; c is behind a link that can be cut.
const sessionPods = 3

func measureSession(ctx context.Context, plan sessionPlan) (_ *report, err error) {
	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	r := &report{Command: "session", Counts: map[string]any{}, Parameters: map[string]any{"plan": plan}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}

	pods, err := startSessionPods(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pods.stop()) }()

	sides, closeSides, err := startSessionSides(ctx, pods.all[0], plan.Rotation)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSides()) }()

	if err := measureSessionReads(ctx, r, plan, sides); err != nil {
		return nil, fmt.Errorf("reads: %w", err)
	}
	if err := measureSessionMix(ctx, r, plan, pods.all[0]); err != nil {
		return nil, fmt.Errorf("mix: %w", err)
	}
	if err := measureSessionRevokes(ctx, r, plan, pods); err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	if err := measureSessionWrites(ctx, r, pods.all); err != nil {
		return nil, fmt.Errorf("writes: %w", err)
	}
	if err := fillSessions(ctx, pods.all[0], plan); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	if err := measureSessionRows(ctx, r, plan, pods.all[0]); err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	if err := measureSessionSweep(ctx, r, plan, pods.all[0]); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	if err := measureSessionSweepCost(ctx, r, plan, pods.all[0]); err != nil {
		return nil, fmt.Errorf("sweep of many: %w", err)
	}
	if err := measureSessionCut(ctx, r, pods); err != nil { // the last: pod c is of no use afterwards
		return nil, fmt.Errorf("cut off: %w", err)
	}
	return r, nil
}
