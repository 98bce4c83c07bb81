package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// outbox is a row in a table for each change, in its transaction, and a reader
// that takes rows out of it ten times a second.
type outbox struct {
	pool  *pgxpool.Pool
	taken atomic.Int64
	quit  chan struct{}
	done  sync.WaitGroup
	err   error // of the reader, after done
}

// pollInterval is that of everything here that polls.
const pollInterval = 100 * time.Millisecond

const (
	outboxTable = `CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL); TRUNCATE outbox`
	outboxTake  = `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING key`
)

func (o *outbox) name() string { return "outbox" }

func (o *outbox) start(ctx context.Context) error {
	if _, err := o.pool.Exec(ctx, outboxTable); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}

	o.taken.Store(0)

	o.quit, o.err = make(chan struct{}), nil
	o.done.Go(func() {
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()

		for o.err == nil {
			select {
			case <-o.quit:
				return
			case <-tick.C:
				o.err = o.take(ctx)
			}
		}
	})

	return nil
}

// take empties the table.
func (o *outbox) take(ctx context.Context) error {
	for {
		rows, err := o.pool.Query(ctx, outboxTake)
		if err != nil {
			return fmt.Errorf("outbox: %w", err)
		}

		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("outbox: %w", err)
		}

		o.taken.Add(int64(len(keys)))

		if len(keys) == 0 {
			return nil
		}
	}
}

func (o *outbox) transact(ctx context.Context, id int64) error {
	tx, err := o.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing

	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO outbox (key) VALUES ($1)`, strconv.FormatInt(id, 10)); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}

	return nil
}

func (o *outbox) stop(ctx context.Context, commits int64) error {
	err := eventually(ctx, func() bool { return o.taken.Load() >= commits })
	close(o.quit)
	o.done.Wait()
	if err != nil || o.taken.Load() != commits {
		err = fmt.Errorf("outbox: %d of %d rows taken: %w", o.taken.Load(), commits, errors.Join(err, o.err))
	}
	return err
}
