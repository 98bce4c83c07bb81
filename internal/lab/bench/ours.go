package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// ours is the update and an invalidation through a bus that runs, with a
// subscriber: it announces, sweeps and hears itself while the writers write.
type ours struct {
	pool  *pgxpool.Pool
	pod   *pod
	heard atomic.Int64
	total oursTotal
}

// oursTotal sums up what the buses of all rounds did, to show that the machinery ran.
type oursTotal struct {
	published, announced, swept, dropped, notifies, sweeps, reconnects int64
}

func (t oursTotal) String() string {
	return fmt.Sprintf("%d published, %d announced in %d notifies, %d swept in %d sweeps, %d dropped, %d reconnects",
		t.published, t.announced, t.notifies, t.swept, t.sweeps, t.dropped, t.reconnects)
}

func (o *ours) name() string { return "ours" }

func (o *ours) start(ctx context.Context) error {
	// Before the bus runs, so that it does not take it for the loss of the log.
	if _, err := o.pool.Exec(ctx, `TRUNCATE pgcoherence.event`); err != nil {
		return fmt.Errorf("ours: %w", err)
	}

	o.heard.Store(0)

	pod, err := startPod(ctx, o.pool, bus.Config{Name: "writer"}, func(d bus.Delivery) {
		if d.Local {
			o.heard.Add(1)
		}
	})
	if err != nil {
		return fmt.Errorf("ours: %w", err)
	}

	o.pod = pod
	return nil
}

func (o *ours) transact(ctx context.Context, id int64) error {
	tx, err := o.pod.Begin(ctx)
	if err != nil {
		return fmt.Errorf("ours: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing
	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("ours: %w", err)
	}
	tx.Invalidate(topic, strconv.FormatInt(id, 10))
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("ours: %w", err)
	}
	return nil
}

func (o *ours) stop(ctx context.Context, commits int64) error {
	// An overflow of the subscriber's queue is a reset instead of deliveries.
	err := eventually(ctx, func() bool { return o.heard.Load() >= commits || o.pod.Stats().Overflows > 0 })
	s := o.pod.Stats()

	if stopErr := o.pod.stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return fmt.Errorf("ours: %d of %d events delivered here: %w", o.heard.Load(), commits, err)
	}
	if s.Published != commits || s.Uncertain != 0 {
		return fmt.Errorf("ours: after %d commits: %+v", commits, s)
	}

	var rows int64
	if err := o.pool.QueryRow(ctx, `SELECT count(*) FROM pgcoherence.event`).Scan(&rows); err != nil {
		return fmt.Errorf("ours: %w", err)
	}
	if rows != commits {
		return fmt.Errorf("ours: %d rows after %d commits", rows, commits)
	}

	o.total.published += s.Published
	o.total.announced += s.Announced
	o.total.swept += s.Swept
	o.total.dropped += s.Dropped
	o.total.notifies += s.Notifies
	o.total.sweeps += s.Sweeps
	o.total.reconnects += s.Reconnects
	return nil
}
