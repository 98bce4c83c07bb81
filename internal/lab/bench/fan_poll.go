package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// fanPoll is a table of events that every pod reads ten times a second.
type fanPoll struct {
	pool  *pgxpool.Pool
	noted *arrivals
	quit  chan struct{}
	done  sync.WaitGroup

	mu  sync.Mutex
	err error // the first of a pod
}

// pollBack is how many rows a pod reads again each time: rows may become visible
// after those with higher numbers.
const pollBack = 100

const (
	pollTable = `CREATE TABLE IF NOT EXISTS polled (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL);
		TRUNCATE polled RESTART IDENTITY`
	pollRead = `SELECT id, key FROM polled WHERE id > $1 ORDER BY id`
)

func (f *fanPoll) name() string           { return "poll" }
func (f *fanPoll) title() string          { return "polling, 100 ms" }
func (f *fanPoll) listeners(pods int) int { return pods }
func (f *fanPoll) notifies() int64        { return 0 }

func (f *fanPoll) start(ctx context.Context, listeners int, noted *arrivals) error {
	if _, err := f.pool.Exec(ctx, pollTable); err != nil {
		return fmt.Errorf("poll: %w", err)
	}

	f.noted, f.quit, f.err = noted, make(chan struct{}), nil
	for i := range listeners {
		f.done.Go(func() {
			if err := f.poll(ctx, i, time.Duration(i)*pollInterval/time.Duration(listeners)); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.err = err
			}
		})
	}

	return nil
}

// poll begins after a while, so that the pods do not poll all at once.
func (f *fanPoll) poll(ctx context.Context, pod int, after time.Duration) error {
	sleep(ctx, after)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()

	for last := int64(0); ; {
		select {
		case <-f.quit:
			return nil
		case <-tick.C:
		}

		rows, err := f.pool.Query(ctx, pollRead, last-pollBack)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}

		var id int64
		var key string
		if _, err := pgx.ForEachRow(rows, []any{&id, &key}, func() error {
			last = max(last, id)
			if event, err := strconv.Atoi(key); err == nil {
				f.noted.arrive(pod, event)
			}
			return nil
		}); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
	}
}

func (f *fanPoll) publish(ctx context.Context, event int) error {
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing
	if _, err := tx.Exec(ctx, update, event); err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO polled (key) VALUES ($1)`, strconv.Itoa(event)); err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	return tx.Commit(ctx)
}

func (f *fanPoll) stop() (did, trouble string, err error) {
	close(f.quit)
	f.done.Wait()
	return "", "", f.err
}
