package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// byTrigger is the update of a table that the library watches: the writer knows
// nothing of it, and a trigger writes the row of the log.
type byTrigger struct {
	pool   *pgxpool.Pool
	pod    *pod
	heard  atomic.Int64
	resets int64 // of the pod, before it was measured
}

// watchedTable is like the application's, with a trigger on it.
const watchedTable = `CREATE TABLE IF NOT EXISTS watched (id bigint PRIMARY KEY, value bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50)`

const updateWatched = `UPDATE watched SET value = value + 1 WHERE id = $1`

func (t *byTrigger) name() string { return "trigger" }

// prepare makes the table, and the trigger.
func (t *byTrigger) prepare(ctx context.Context) error {
	for _, statement := range []string{
		watchedTable,
		fmt.Sprintf(`INSERT INTO watched SELECT i FROM generate_series(0, %d) AS i ON CONFLICT DO NOTHING`, items-1),
		`VACUUM ANALYZE watched`, `UPDATE watched SET value = value + 1`, `VACUUM watched`,
	} {
		if _, err := t.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("trigger: %w", err)
		}
	}

	b, err := bus.NewPostgres(t.pool, nil)
	if err != nil {
		return fmt.Errorf("trigger: %w", err)
	}

	return b.WatchTable(ctx, bus.Watch{Table: "watched", Topic: topic})
}

func (t *byTrigger) start(ctx context.Context) (err error) {
	if _, err := t.pool.Exec(ctx, `TRUNCATE pgcoherence.event`); err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	t.heard.Store(0)
	t.pod, err = startPod(ctx, t.pool, bus.Config{Name: "writer", Logger: warnings()}, func(d bus.Delivery) { t.heard.Add(1 + int64(len(d.Keys))) })
	if err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	t.resets = t.pod.Stats().Resets
	return nil
}

func (t *byTrigger) transact(ctx context.Context, id int64) error {
	tx, err := t.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing
	if _, err := tx.Exec(ctx, updateWatched, id); err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("trigger: %w", err)
	}
	return nil
}

// stop counts rows: deliveries may be fewer, since keys that changed twice within one sweep are delivered once.
func (t *byTrigger) stop(ctx context.Context, commits int64) error {
	err := eventually(ctx, func() bool { return t.heard.Load() > 0 || t.pod.Stats().Resets > t.resets || commits == 0 })
	if err != nil {
		err = fmt.Errorf("trigger: no event was delivered: %w", err)
	}
	err = errors.Join(err, t.pod.stop())
	var rows int64
	if countErr := t.pool.QueryRow(ctx, `SELECT count(*) FROM pgcoherence.event`).Scan(&rows); countErr != nil {
		return errors.Join(err, fmt.Errorf("trigger: %w", countErr))
	}
	if rows != commits {
		err = errors.Join(err, fmt.Errorf("trigger: %d rows after %d commits", rows, commits))
	}
	return err
}
