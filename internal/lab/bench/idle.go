package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// idlePlan is how much the command idle measures.
type idlePlan struct {
	Pods   []int         // sizes of a cluster
	Settle time.Duration // until what a start costs is over
	Length time.Duration // of what is measured
}

func idleCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "idle",
		Short: "what clusters of 3, 10 and 100 pods cost in which nothing happens: statements, WAL and transaction ids a day",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := idlePlan{Pods: []int{3, 10, 100}, Settle: 5 * time.Second, Length: 30 * time.Second}
			if o.short {
				plan.Settle, plan.Length = 3*time.Second, 10*time.Second
			}

			r, err := measureIdle(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("idle: %w", err)
			}

			return o.keep(r)
		},
	}
}

func measureIdle(ctx context.Context, plan idlePlan) (_ *report, err error) {
	most := 0
	for _, pods := range plan.Pods {
		most = max(most, pods)
	}
	s, err := startServer(ctx, 2*most+spare)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "idle", Counts: map[string]any{}, Parameters: map[string]any{"pods": plan.Pods, "seconds": plan.Length.Seconds()}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}

	r.row("a day, all pods together", "statements", "WAL in MB", "transaction ids", "statements of a pod", "WAL of a pod in MB")
	for _, pods := range plan.Pods {
		reason, err := s.room(ctx, 2*pods+spare)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			return nil, fmt.Errorf("%d pods: %s", pods, reason)
		}
		if err := measureIdlePoint(ctx, r, s, plan, pods); err != nil {
			return nil, fmt.Errorf("%d pods: %w", pods, err)
		}
	}
	return r, nil
}

func measureIdlePoint(ctx context.Context, r *report, s *server, plan idlePlan, n int) (err error) {
	pool, err := s.pool(ctx, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	pods, err := startFleet(ctx, pool, n, bus.Config{}, func(int, bus.Delivery) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(pods)) }()

	sleep(ctx, plan.Settle)
	begin := time.Now()
	before, err := readIdle(ctx, conn, pods)
	if err != nil {
		return err
	}
	sleep(ctx, plan.Length)
	after, err := readIdle(ctx, conn, pods)
	if err != nil {
		return err
	}

	days := time.Since(begin).Hours() / 24
	statements := float64(after.statements-before.statements) / days
	megabytes := float64(after.wal-before.wal) / days / 1e6
	xids := float64(after.xids-before.xids) / days
	r.row(strconv.Itoa(n)+" pods", rounded(statements), rounded(megabytes), rounded(xids), rounded(statements/float64(n)), rounded(megabytes/float64(n)))
	r.result("idle.statements_per_day."+strconv.Itoa(n), statements)
	r.result("idle.wal_mb_per_day."+strconv.Itoa(n), megabytes)
	r.result("idle.xids_per_day."+strconv.Itoa(n), xids)
	if trouble := troubleOf(pods); trouble != "" {
		r.Counts["trouble with "+strconv.Itoa(n)+" pods"] = trouble
	}
	return nil
}

// idleCost is what has been spent so far.
type idleCost struct{ statements, wal, xids int64 }

func readIdle(ctx context.Context, conn *pgx.Conn, pods fleet) (c idleCost, err error) {
	for _, p := range pods {
		c.statements += p.Stats().Statements
	}
	err = conn.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&c.wal, &c.xids)
	return c, err
}

// rounded writes three digits, since no more are meant: 52, 475, 1420000.
func rounded(v float64) string {
	scale := int64(1)
	for v/float64(scale) >= 1000 {
		scale *= 10
	}
	return strconv.FormatInt(int64(v/float64(scale)+0.5)*scale, 10)
}
