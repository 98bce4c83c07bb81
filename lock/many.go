package lock

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// MaxMany is the maximum number of keys for AcquireMany and TryAcquireMany.
const MaxMany = 1000

// TryAcquireMany acquires the leases of all keys, or none; then it returns a *[HeldError] about one of them. The
// result has the order of the keys. Each lease has its own token; release each. Because it does not wait, two calls
// cannot deadlock. Without keys, and for a repeated key, it returns ErrKey.
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
		a.note(ctx, err)
		switch {
		case err == nil && held == nil && leases != nil:
			return leases, nil
		case err != nil:
			a.unsure = true
			if failed++; failed >= failedTries || !transient(err) || !backoff.Wait(ctx, wait.Next()) {
				if transient(err) && !a.away {
					l.c.leaves.add(a.id, keys...)
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

// replyMany is what acquire_many.sql returns.
type replyMany struct {
	tokens   map[string]int64 // of all keys, or of none
	missing  []string         // keys that have no row
	held     *HeldError
	database *string
	sent     time.Time
	session  *session // that the grants are bound to; nil: none
}

// askMany asks once. All nil: what was missing was made, ask again.
func (a *attempt) askMany(ctx context.Context, keys []string) ([]*Lease, *HeldError, error) {
	c := a.c
	if err := c.open(); err != nil {
		return nil, nil, err
	}
	conn, err := c.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	a.tries++
	before := c.seen.Load()
	r := &replyMany{tokens: make(map[string]int64, len(keys))}
	frozen := *a // the caller may be gone when it is read
	err, ok := finish(ctx, 0, a.bound(), func(ctx context.Context) error {
		defer c.exit(conn)
		return frozen.sendMany(ctx, conn, keys, r)
	}, func(err error) {
		if err != nil || len(r.tokens) > 0 {
			c.leaves.add(frozen.id, keys...)
		}
	})

	switch {
	case !ok:
		a.away = true
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, err
	case r.database == nil:
		return nil, nil, c.raise(ctx)
	case len(r.tokens) == len(keys):
		least := slices.Min(slices.Collect(maps.Values(r.tokens)))
		if least <= before && !a.unsure {
			err := c.wentBack(ctx, least, before)
			c.leaveNow(ctx, a.id, keys...)
			return nil, nil, err
		}
		return a.grantedMany(keys, r)
	}

	return nil, r.held, nil
}

// sendMany sends the statement, and makes the rows that it found missing unless one of the others is held.
func (a *attempt) sendMany(ctx context.Context, conn *pgxpool.Conn, keys []string, r *replyMany) error {
	session, id, grace := a.c.sessions.binding()
	r.session, r.sent = session, a.sending()
	rows, err := conn.Query(ctx, a.c.sql.acquireMany, keys, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, waiterAlive.Milliseconds(), id, grace)
	if err != nil {
		return err
	}
	var key string
	var one reply
	_, err = pgx.ForEachRow(rows, []any{
		&key, &r.database, &one.granted, &one.row.token, &one.row.owner, &one.row.held, &one.row.turn, &one.row.sinceMS, &one.row.remaining, &one.row.meta,
		&one.row.limit,
	}, func() error {
		switch {
		case one.granted != nil:
			r.tokens[key] = *one.granted
		case one.row.token == nil:
			r.missing = append(r.missing, key)
		case r.held == nil || r.held.Guarded: // rather one that is held than one that could have been had
			if h := one.row.heldError(key); r.held == nil || !h.Guarded {
				r.held = h
			}
		}
		return nil
	})
	if err == nil && r.database != nil && len(r.missing) > 0 && (r.held == nil || r.held.Guarded) {
		r.held = nil
		_, err = conn.Exec(ctx, a.c.sql.makeFree, r.missing)
	}

	return err
}

func (a *attempt) grantedMany(keys []string, r *replyMany) ([]*Lease, *HeldError, error) {
	leases := make([]*Lease, len(keys))

	for i, key := range keys {
		own := *a
		own.key = key
		leases[i] = newLease(&own, r.tokens[key], *r.database, r.sent, r.session)
	}

	if !a.c.add(leases...) {
		for _, lease := range leases {
			lease.discard(ReasonClosed)
		}
		a.c.leaves.add(a.id, keys...)
		return nil, nil, ErrClosed
	}

	for _, lease := range leases {
		lease.checkDeadline() // the session may have ended before the lease was added
	}
	a.c.sawToken(slices.Max(slices.Collect(maps.Values(r.tokens))))
	return leases, nil, nil
}
