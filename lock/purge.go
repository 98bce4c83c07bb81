package lock

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

const (
	purgeEvery   = 5 * time.Minute       // how often all rows are gone through
	purgePage    = 1000                  // rows in a statement
	purgePause   = 20 * time.Millisecond // after each
	purgeTimeout = 30 * time.Second      // of each
)

// purgeNowAndThen deletes unused rows, until ctx ends. It works on connections of the pool, and so never delays a
// heartbeat.
func (c *core) purgeNowAndThen(ctx context.Context) {
	for backoff.Wait(ctx, jitter(purgeEvery)) {
		if err := c.purge(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "free leases and dead waiters not purged", slog.Any("error", explain(err)))
		}
	}
}

// purge goes once through all rows, page by page in the order of their keys, so that a page costs the same however many
// rows there are, and what was done stays done.
func (c *core) purge(ctx context.Context) error {
	if err := c.purgeByID(ctx, c.sql.purgeWaiters); err != nil {
		return err
	}
	if err := c.purgeByID(ctx, c.sql.purgeShares); err != nil || c.cfg.Retention < 0 {
		return err
	}

	keep := c.cfg.Retention.Milliseconds()
	return c.purgePages(ctx, "", func(ctx context.Context, after string) (last *string, err error) {
		if _, err := c.pool.Exec(ctx, c.sql.unqueue, after, purgePage, keep); err != nil {
			return nil, err
		}

		var deleted int64
		err = c.row(ctx, c.sql.purge, []any{after, purgePage, keep}, &last, &deleted)
		if errors.Is(err, pgx.ErrNoRows) { // another process is at it
			return nil, nil //nolint:nilnil // as if there were no more
		}

		return last, err
	})
}

// purgeByID deletes waiters, or shares, of the dead, whatever the retention of leases is.
func (c *core) purgeByID(ctx context.Context, statement string) error {
	const least = "00000000-0000-0000-0000-000000000000"
	return c.purgePages(ctx, least, func(ctx context.Context, after string) (last *string, err error) {
		err = c.row(ctx, statement, []any{after, purgePage, waiterKept.Milliseconds()}, &last)
		return last, err
	})
}

// purgePages calls page for one page after the other until there is none.
func (c *core) purgePages(ctx context.Context, after string, page func(ctx context.Context, after string) (last *string, err error)) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, purgeTimeout)
		last, err := page(bounded, after)
		cancel()
		if err != nil || last == nil {
			return err
		}
		after = *last
		if !backoff.Wait(ctx, purgePause) {
			return context.Cause(ctx)
		}
	}
}
