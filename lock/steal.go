package lock

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// Steal takes a lease from its owner, ahead of all waiters. The owner's guards fail from the moment at which the
// first statement commits, and the bus notifies its process at once. Steal waits, until ctx ends, for a transaction
// that was guarded before: if it returns nil, that has ended. A free lease is simply acquired.
func (l *Locker) Steal(ctx context.Context, key string) (*Lease, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	a := l.attempt(ctx, key)
	lease, err := a.steal(ctx)
	l.c.metrics.acquired(err)
	return lease, err
}

func (a *attempt) steal(ctx context.Context) (*Lease, error) {
	c := a.c
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	busy := busyLeast

	for {
		err := a.evict(ctx)
		again := time.Now().Add(c.cfg.ClaimTTL / 2)
		for err == nil && time.Now().Before(again) {
			var lease *Lease
			var held *HeldError
			lease, held, err = a.try(ctx)
			a.note(ctx, err)
			if err == nil && held == nil {
				c.announce(ctx, a.key)
				return lease, nil
			}
			if err == nil && !backoff.Wait(ctx, jitter(busy)) {
				err = ctx.Err()
			}
			busy = min(2*busy, busyMost)
			if held != nil && !held.Guarded {
				break // another thief, or one who waited, was faster
			}
		}
		if err == nil || transient(err) && ctx.Err() == nil && backoff.Wait(ctx, wait.Next()) {
			continue
		}
		a.queued = true // it may be what the lease is kept for
		a.giveUp(err)
		return nil, a.wrap(ctx, err)
	}
}

// evict ends the lease for its owner and reserves it.
func (a *attempt) evict(ctx context.Context) error {
	token := new(*int64) // may be written after the caller has gone
	err, ok := finish(ctx, 0, longestTry, func(ctx context.Context) error {
		return a.c.row(ctx, a.c.sql.steal, []any{a.key, a.id, a.c.cfg.ClaimTTL.Milliseconds()}, token)
	}, func(error) { a.c.leaves.add(a.id, a.key) })
	if !ok {
		a.away = true
		return context.Cause(ctx)
	}
	a.note(ctx, err)
	if errors.Is(err, pgx.ErrNoRows) { // it was never taken
		return nil
	}
	if err == nil && *token != nil {
		a.c.metrics.stolen.Add(1)
		a.c.log.InfoContext(ctx, "lease taken away from its owner", slog.Int64("token", **token))
		a.c.announce(ctx, a.key)
	}

	return err
}
