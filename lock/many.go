package lock

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// MaxMany is how many keys TryAcquireMany takes at most.
const MaxMany = 1000

// TryAcquireMany takes the leases of all keys, or none; then the error is a *HeldError about one that it could not have.
// The leases come in the order of the keys, each with its own token, and are released one by one. It waits for nobody,
// so two of these cannot wait for each other. No keys, or a key twice, is ErrKey.
func (l *Locker) TryAcquireMany(ctx context.Context, keys ...string) ([]*Lease, error) {
	if len(keys) == 0 || len(keys) > MaxMany {
		return nil, fmt.Errorf("%w: %d keys, want 1 to %d", ErrKey, len(keys), MaxMany)
	}
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	if sorted := slices.Sorted(slices.Values(keys)); len(slices.Compact(sorted)) < len(keys) {
		return nil, fmt.Errorf("%w: the same key twice", ErrKey)
	}
	leases, err := l.tryMany(ctx, keys)
	l.c.metrics.acquired(err)
	return leases, err
}

func (l *Locker) tryMany(ctx context.Context, keys []string) ([]*Lease, error) {
	a := l.attempt(ctx, keys[0])
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	for failed, busy := 0, 0; ; {
		leases, held, err := a.askMany(ctx, keys)
		for conflicting(err) && backoff.Wait(ctx, conflictWait()) {
			leases, held, err = a.askMany(ctx, keys)
		}
		switch {
		case err == nil && held == nil && leases != nil:
			return leases, nil
		case err != nil:
			a.unsure = true
			if failed++; failed >= failedTries || !transient(err) || !backoff.Wait(ctx, wait.Next()) {
				if transient(err) {
					for _, key := range keys {
						l.c.leave(ctx, key, a.id)
					}
				}
				return nil, a.wrap(ctx, err)
			}
		case held != nil && !held.Guarded:
			return nil, held
		default: // locked, or rows or the incarnation were just made
			if busy++; busy >= 2*busyTries || !backoff.Wait(ctx, busyWait) {
				if held == nil {
					held = &HeldError{Key: keys[0], Guarded: true}
				}
				return nil, held
			}
		}
	}
}

// askMany asks once. All nil: what was missing was made, ask again.
func (a *attempt) askMany(ctx context.Context, keys []string) ([]*Lease, *HeldError, error) {
	c := a.c
	if err := c.open(); err != nil {
		return nil, nil, err
	}
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Release()
	bounded, cancel := context.WithTimeout(ctx, min(a.options.TTL, longestTry))
	defer cancel()
	a.tries++
	before, sent := c.seen.Load(), a.sending()
	rows, err := conn.Query(bounded, c.sql.acquireMany, keys, a.id, c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, waiterAlive.Milliseconds())
	if err != nil {
		return nil, nil, err
	}
	var key string
	var r reply
	var held *HeldError
	var missing []string
	var database *string
	tokens := make([]int64, 0, len(keys))
	_, err = pgx.ForEachRow(rows, []any{
		&key, &database, &r.granted, &r.row.token, &r.row.owner, &r.row.held, &r.row.turn, &r.row.sinceMS, &r.row.remaining, &r.row.meta,
	}, func() error {
		switch {
		case r.granted != nil:
			tokens = append(tokens, *r.granted)
		case r.row.token == nil:
			missing = append(missing, key)
		case held == nil || held.Guarded: // rather one that is held than one that could have been had
			if h := r.row.heldError(key); held == nil || !h.Guarded {
				held = h
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	switch {
	case database == nil:
		conn.Release() // raise takes one from the pool
		return nil, nil, c.raise(ctx)
	case len(tokens) == len(keys) && slices.Min(tokens) <= before && !a.unsure:
		conn.Release()
		err := c.wentBack(ctx, slices.Min(tokens), before)
		for _, key := range keys {
			c.leave(ctx, key, a.id)
		}
		return nil, nil, err
	case len(tokens) == len(keys):
		return a.grantedMany(ctx, keys, tokens, *database, sent)
	case held != nil && !held.Guarded:
		return nil, held, nil
	case len(missing) > 0:
		_, err := conn.Exec(bounded, c.sql.makeFree, missing)
		return nil, nil, err
	}
	return nil, held, nil
}

func (a *attempt) grantedMany(ctx context.Context, keys []string, tokens []int64, database string, sent time.Time) ([]*Lease, *HeldError, error) {
	leases := make([]*Lease, len(keys))
	for i, key := range keys {
		own := *a
		own.key = key
		leases[i] = newLease(&own, tokens[i], database, sent)
	}
	if !a.c.add(leases...) {
		for _, lease := range leases {
			lease.discard(ReasonClosed)
			a.c.leave(ctx, lease.key, a.id)
		}
		return nil, nil, ErrClosed
	}
	a.c.sawToken(slices.Max(tokens))
	return leases, nil, nil
}
