package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/lock"
)

const (
	leaseTTL = time.Second            // how long a dead worker's shards wait for the next; short, for the story
	turnTime = 300 * time.Millisecond // a worker keeps a shard for so long, to twice that, before it lets the others have it
	jobTime  = 80 * time.Millisecond  // what the work on a job takes
)

// worker does jobs.
type worker struct {
	name      string
	pool      *pgxpool.Pool
	locker    *lock.Locker
	unguarded bool
}

// own does the jobs of a shard whenever it is this worker's turn, until ctx ends. There is one such goroutine for each
// shard in each worker; the lease decides which of them works.
func (w *worker) own(ctx context.Context, shard int) {
	for ctx.Err() == nil {
		// Do waits for the lease, renews it while the function runs, and gives it up, to the one that has waited longest. The
		// function's context ends when the lease is lost.
		err := w.locker.Do(ctx, fmt.Sprintf("%s%d", keyText, shard), func(ctx context.Context, lease *lock.Lease) error {
			return w.turn(ctx, shard, lease)
		})
		switch {
		case errors.Is(err, lock.ErrLost):
			slog.WarnContext(ctx, "lost a shard", slog.Int("shard", shard), slog.Any("error", err))
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "turn ended early", slog.Int("shard", shard), slog.Any("error", err))
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// turn does jobs of a shard for a while.
func (w *worker) turn(ctx context.Context, shard int, lease *lock.Lease) error {
	for end := time.Now().Add(turnTime + rand.N(turnTime)); ctx.Err() == nil && time.Now().Before(end); {
		var job int
		err := w.pool.QueryRow(ctx, "SELECT id FROM job WHERE shard = $1 AND tokens = '{}' ORDER BY id LIMIT 1", shard).Scan(&job)
		if err != nil {
			return err
		}
		time.Sleep(jobTime) // the work. A process that is stopped here goes on here, however long that was
		if err := w.finish(ctx, shard, job, lease); err != nil {
			return err
		}
	}
	return nil
}

// finish writes that a job is done. A write may be on its way when the lease is lost, so it does not end with the
// lease's context here: no look at a clock or a context is close enough to the write. Guard is.
func (w *worker) finish(ctx context.Context, shard, job int, lease *lock.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()

	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if !w.unguarded {
			// If this returns nil and the transaction commits, no other was granted the lease before that.
			if err := lease.Guard(ctx, tx); err != nil {
				return err
			}
		}

		_, err := tx.Exec(ctx, "UPDATE job SET workers = workers || $3::text, tokens = tokens || $4::bigint WHERE shard = $1 AND id = $2",
			shard, job, w.name, lease.Token())
		return err
	})
	if errors.Is(err, lock.ErrLost) || errors.Is(err, lock.ErrNotGuarded) {
		_, noteErr := w.pool.Exec(ctx, "INSERT INTO refusal VALUES ($1, $2, $3, $4)", w.name, shard, job, lease.Token())
		err = errors.Join(err, noteErr)
	}

	return err
}
