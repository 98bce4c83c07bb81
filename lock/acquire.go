package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// TryAcquire takes a lease if it is free and nobody waits for it; else the error is a *HeldError. It writes nothing
// then. A statement whose answer is lost is sent again; nothing is held if it returns an error.
func (l *Locker) TryAcquire(ctx context.Context, key string) (*Lease, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	a := l.attempt(ctx, key)
	lease, err := a.tryPatiently(ctx)
	l.c.metrics.acquired(err)
	return lease, err
}

// attempt is one wish for a lease; its id makes that asking twice is asking once.
type attempt struct {
	*Locker
	key, id string
	values  context.Context // what the lease's context inherits
	tries   int
	unsure  bool // a grant whose answer was lost, or came too late, may be found again
	waits   bool // whoever would queue anyway need not be told who has it
	queued  bool
	unknown bool // there is no such lease, as far as is known, and so it is in no queue
}

func (l *Locker) attempt(ctx context.Context, key string) *attempt {
	return &attempt{Locker: l, key: key, id: uuid.NewString(), values: ctx}
}

const (
	failedTries = 3                      // of TryAcquire, when the answer is lost
	busyTries   = 4                      // of TryAcquire, when the row is locked by somebody who may be about to let go
	busyWait    = 2 * time.Millisecond   // before the next
	busyLeast   = 300 * time.Microsecond // between the tries of a waiter whose turn it is: others enter the queue in no time
	busyMost    = 50 * time.Millisecond  // the same, in the end: a guarded transaction may take its time
)

// tryPatiently tries until there is an answer that is not about to change.
func (a *attempt) tryPatiently(ctx context.Context) (*Lease, error) {
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	for failed, busy := 0, 0; ; {
		lease, held, err := a.try(ctx)
		switch {
		case err == nil && held == nil:
			return lease, nil
		case err != nil:
			if failed++; failed >= failedTries || !transient(err) || !backoff.Wait(ctx, wait.Next()) {
				a.giveUp(ctx, err)
				return nil, a.wrap(ctx, err)
			}
		case held.Guarded:
			if busy++; busy >= busyTries || !backoff.Wait(ctx, busyWait) {
				return nil, held
			}
		default:
			return nil, held
		}
	}
}

// giveUp sees to it that a grant whose answer was lost does not last.
func (a *attempt) giveUp(ctx context.Context, err error) {
	if a.tries > 0 && transient(err) {
		a.c.leave(ctx, a.key, a.id)
	}
}

func (a *attempt) wrap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("lock: acquire %.80q: %w", a.key, explain(err))
}

// try asks once: a lease, or who has it. With a queue, being its turn is part of the question.
func (a *attempt) try(ctx context.Context) (*Lease, *HeldError, error) {
	for range 3 { // more than once only when the incarnation is raised, or a row appears or vanishes
		if err := a.c.open(); err != nil {
			return nil, nil, err
		}
		r, err := a.ask(ctx)
		for conflicting(err) && backoff.Wait(ctx, conflictWait()) { // nothing was done
			r, err = a.ask(ctx)
		}
		if err != nil {
			a.unsure = true
			return nil, nil, err
		}
		switch {
		case r == nil:
			return nil, &HeldError{Key: a.key, Queued: true}, nil
		case r.place == nil:
			if err := a.c.raise(ctx); err != nil {
				return nil, nil, err
			}
		case r.granted != nil:
			lease, err := a.granted(ctx, r)
			if lease != nil || err != nil {
				return lease, nil, err
			}
		case r.row.token != nil:
			return nil, r.row.heldError(a.key), nil
		}
	}
	return nil, &HeldError{Key: a.key, Guarded: true}, nil
}

// reply is what acquire.sql answers.
type reply struct {
	place         *place // nil if the incarnation is of another server
	granted       *int64
	row           row
	sent, arrived time.Time
	before        int64 // the largest token seen when it was sent
}

// row is a lease as the database tells it.
type row struct {
	token              *int64
	owner, meta        *string
	held, turn         *bool
	sinceMS, remaining *int64
}

func (r *row) heldError(key string) *HeldError {
	e := &HeldError{Key: key, Token: deref(r.token), Since: time.Duration(deref(r.sinceMS)) * time.Millisecond}
	if deref(r.held) {
		e.Owner, e.Metadata = deref(r.owner), metadataOf(r.meta)
		e.Remaining = max(0, time.Duration(deref(r.remaining))*time.Millisecond)
		return e
	}
	e.Guarded = deref(r.turn) // and yet it was not granted: the row is locked
	e.Queued = !e.Guarded
	if e.Guarded {
		e.Owner, e.Metadata = deref(r.owner), metadataOf(r.meta)
	}
	return e
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func metadataOf(text *string) map[string]string {
	if text == nil {
		return nil
	}
	var m map[string]string
	_ = json.Unmarshal([]byte(*text), &m) // what others wrote by hand is not worth an error
	return m
}

// ask sends the statement for the common case, if there is one, and acquire.sql if that grants nothing. The clock is read
// after a connection was had: a starved pool must not eat up the lease.
func (a *attempt) ask(ctx context.Context) (*reply, error) {
	conn, err := a.c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(ctx, min(a.options.TTL, longestTry))
	defer cancel()
	a.tries++
	common := ""
	switch {
	case a.unknown:
	case a.queued:
		common = a.c.sql.claim
	case a.tries == 1:
		common = a.c.sql.acquireFree
	}
	r := &reply{before: a.c.seen.Load()}
	if r.place = a.c.place.Load(); r.place != nil && common != "" {
		r.sent = a.sending()
		err = conn.QueryRow(ctx, common, a.key, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta,
			r.place.server, r.place.database, r.place.relation).Scan(&r.granted)
		r.arrived = time.Now()
		if !errors.Is(err, pgx.ErrNoRows) {
			return r, err
		}
		if a.waits && !a.queued {
			return nil, nil //nolint:nilnil // not to be had at once
		}
	}
	var database *string
	var serverMicros, relation *int64
	r.sent = a.sending()
	err = conn.QueryRow(ctx, a.c.sql.acquire, a.key, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, waiterAlive.Milliseconds()).
		Scan(&database, &serverMicros, &relation, &r.granted,
			&r.row.token, &r.row.owner, &r.row.held, &r.row.turn, &r.row.sinceMS, &r.row.remaining, &r.row.meta)
	r.arrived, r.place = time.Now(), nil
	if err == nil && database != nil {
		r.place = &place{time.UnixMicro(*serverMicros), *database, uint32(*relation)}
		a.c.place.Store(r.place)
	}
	return r, err
}

// sending counts a statement and reads the clock before it.
func (a *attempt) sending() time.Time {
	a.c.metrics.tries.Add(1)
	if a.queued {
		a.c.metrics.claims.Add(1)
	}
	return time.Now()
}

// granted makes a lease of a grant. Nil, nil: this one does not count, ask again.
func (a *attempt) granted(ctx context.Context, r *reply) (*Lease, error) {
	token := *r.granted
	if token <= r.before && !a.unsure {
		err := a.c.wentBack(ctx, token, r.before)
		a.c.leave(ctx, a.key, a.id)
		return nil, err
	}
	lease := newLease(a, token, r.place.database, r.sent)
	if elapsed.Between(r.sent, r.arrived) >= trust(a.options.TTL) { // the answer took so long that the lease is over
		lease.discard(ReasonExpired)
		a.unsure = true
		return nil, nil
	}
	if !a.c.add(lease) {
		lease.discard(ReasonClosed)
		a.c.leave(ctx, a.key, a.id)
		return nil, ErrClosed
	}
	a.c.sawToken(token)
	return lease, nil
}

// sawToken remembers the largest token.
func (c *core) sawToken(token int64) {
	for {
		seen := c.seen.Load()
		if token <= seen || c.seen.CompareAndSwap(seen, token) {
			return
		}
	}
}

// jitter is d and up to a quarter of it more.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/4+1) }
