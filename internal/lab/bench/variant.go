package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// variant is one way to commit a row's update. Each takes its connections from
// a pool that all variants share.
type variant interface {
	name() string

	// start makes what has to be there around the transactions, and nothing of
	// it is left after stop: what one variant needs must not weigh on another.
	start(ctx context.Context) error

	// transact is one transaction. Many goroutines call it, each with other ids.
	transact(ctx context.Context, id int64) error

	// stop also checks that the variant did what it claims for so many commits.
	stop(ctx context.Context, commits int64) error
}

// update is what all variants do. pgx prepares it once per connection.
const update = `UPDATE item SET value = value + 1 WHERE id = $1`

// bare is the update in a transaction and nothing else: the base of all ratios.
type bare struct{ pool *pgxpool.Pool }

func (b *bare) name() string                      { return "bare" }
func (b *bare) start(context.Context) error       { return nil }
func (b *bare) stop(context.Context, int64) error { return nil }

func (b *bare) transact(ctx context.Context, id int64) error {
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing
	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	return nil
}
