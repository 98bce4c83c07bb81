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
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// TryAcquire acquires a lease if it is free and has no waiters. Otherwise it writes nothing and returns a
// *[HeldError]. A statement whose response is lost is sent again; after an error no lease is held. When ctx ends,
// TryAcquire returns at once; a running statement continues to its end, and a lease that it was granted is released.
func (l *Locker) TryAcquire(ctx context.Context, key string) (*Lease, error) {
	return l.tryAcquire(ctx, key, nil)
}

func (l *Locker) tryAcquire(ctx context.Context, key string, s *share) (*Lease, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	a := l.attempt(ctx, key)
	a.share = s
	lease, err := a.tryPatiently(ctx)
	l.c.metrics.acquired(err)
	return lease, err
}

// attempt is one request for a lease. Its id makes a repeated request the same request.
type attempt struct {
	*Locker
	key, id string
	share   *share          // nil: alone
	values  context.Context // what the lease's context inherits
	tries   int
	unsure  bool // a grant whose result was lost, or came too late, may be found again
	waits   bool // it queues anyway, so the holder need not be read
	queued  bool
	unknown bool  // there is no such lease, as far as is known, and so it is in no queue
	away    bool  // ctx has ended while a statement was under way, which is undone when it has ended
	trouble error // the database's last error, if its last result was one
}

func (l *Locker) attempt(ctx context.Context, key string) *attempt {
	return &attempt{Locker: l, key: key, id: uuid.NewString(), values: ctx}
}

const (
	failedTries = 3                      // of TryAcquire, when the answer is lost
	busyTries   = 4                      // of TryAcquire, when the row is locked by a statement that may be about to end
	busyWait    = 2 * time.Millisecond   // before the next
	busyLeast   = 300 * time.Microsecond // between the tries of a waiter whose turn it is: others enter the queue in no time
	busyMost    = 50 * time.Millisecond  // the same, in the end: a guarded transaction may take its time
	claimGrace  = 50 * time.Millisecond  // for the claim of a waiter that gives up while it is under way
)

// tryPatiently tries until there is a result that is not about to change.
func (a *attempt) tryPatiently(ctx context.Context) (*Lease, error) {
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

	for failed, busy := 0, 0; ; {
		lease, held, err := a.try(ctx)
		a.note(ctx, err)
		switch {
		case err == nil && held == nil:
			return lease, nil
		case err != nil:
			if failed++; failed >= failedTries || !transient(err) || !backoff.Wait(ctx, wait.Next()) {
				a.giveUp(err)
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

// giveUp undoes a grant whose result was lost.
func (a *attempt) giveUp(err error) {
	if !a.away && (a.queued || a.tries > 0 && transient(err)) {
		a.c.leaves.add(a.id, a.key)
	}
}

// wrap says what was being done. The end of ctx comes with what the database said last, if that was an error.
func (a *attempt) wrap(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("lock: acquire %.80q: %w", a.key, explain(err))
	}
	if a.trouble != nil {
		return fmt.Errorf("lock: acquire %.80q: %w; last error of the database: %w", a.key, context.Cause(ctx), explain(a.trouble))
	}
	return fmt.Errorf("lock: acquire %.80q: %w", a.key, context.Cause(ctx))
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
			a.share.compare(ctx, a.c.log, r.row.limit)
			return nil, r.row.heldError(a.key), nil
		}
	}

	return nil, &HeldError{Key: a.key, Guarded: true}, nil
}

// reply is what acquire.sql returns.
type reply struct {
	place         *place // nil if the incarnation is of another server
	granted       *int64
	row           row
	sent, arrived time.Time
	before        int64    // the largest token seen when it was sent
	queue         bool     // it cannot be had at once, and the caller would wait for it
	session       *session // that the grant is bound to; nil: none
}

// row is a lease as the database has it.
type row struct {
	token              *int64
	owner, meta        *string
	held, turn         *bool
	sinceMS, remaining *int64
	limit              *int // of a semaphore's holders, 0 for readers, nil for an owner who is alone
}

func (r *row) heldError(key string) *HeldError {
	e := &HeldError{
		Key: key, Token: deref(r.token), Since: time.Duration(deref(r.sinceMS)) * time.Millisecond,
		Shared: r.limit != nil, Limit: deref(r.limit),
	}
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

// note remembers what the database said last, and has an outage that goes on logged.
func (a *attempt) note(ctx context.Context, err error) {
	switch {
	case err == nil, errors.Is(err, errUnknown):
		a.trouble = nil
		a.c.outage.over()
	case ctx.Err() == nil && transient(err):
		a.trouble = err
		a.c.outage.goesOn(ctx, a.c.log, err)
	}
}

// ask sends the statement for the common case, if there is one, and acquire.sql if that grants nothing. The clock is read
// after a connection was had: a starved pool must not eat up the lease. Waiting for the connection ends with ctx; the
// statements end by themselves, and what they granted is given back if ctx has ended meanwhile.
func (a *attempt) ask(ctx context.Context) (*reply, error) {
	leave := func() {}
	if a.together() {
		one := &taking{attempt: *a, done: make(chan struct{})}
		if !a.c.takings.enter(one) {
			a.tries++
			r, err := a.c.takings.wait(ctx, one)
			if r == nil {
				a.away = true
			}
			if err != nil || r.granted != nil {
				return r, err
			}
			if r.queue {
				return nil, nil //nolint:nilnil // not to be had at once
			}
			return a.askAlone(ctx, func() {})
		}
		leave = a.c.takings.leave
	}

	return a.askAlone(ctx, leave)
}

// askAlone sends the statements of one attempt, and calls leave when they have ended.
func (a *attempt) askAlone(ctx context.Context, leave func()) (*reply, error) {
	connect, release := a.c.enter, a.c.exit
	if a.queued { // it may be this one's turn, and everybody else waits for it
		connect, release = a.c.pool.Acquire, (*pgxpool.Conn).Release
	}
	conn, err := connect(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	a.tries++

	common := ""
	switch {
	case a.unknown, a.share != nil:
	case a.queued:
		common = a.c.sql.claim
	case a.tries == 1 && a.c.sessions != nil:
		common = a.c.sql.acquireBound
	case a.tries == 1:
		common = a.c.sql.acquireFree
	}
	r := &reply{before: a.c.seen.Load(), place: a.c.place.Load()}
	frozen := *a // the caller may be gone when it is read
	grace := time.Duration(0)
	if a.queued { // what was waited for is about to be had
		grace = claimGrace
	}
	err, ok := finish(ctx, grace, a.bound(), func(ctx context.Context) error {
		defer leave()
		defer release(conn)
		return frozen.send(ctx, conn, common, r)
	}, func(err error) {
		if frozen.queued || err != nil || r.granted != nil {
			a.c.leaves.add(frozen.id, frozen.key)
		}
	})
	if !ok {
		a.away = true
		return nil, context.Cause(ctx)
	}
	if err == nil && r.queue {
		return nil, nil //nolint:nilnil // not to be had at once
	}
	return r, err
}

// bound is how long the statements of one try may take: a grant that comes later is over.
func (a *attempt) bound() time.Duration { return min(max(a.options.TTL, MinTTL), longestTry) }

// send sends what ask decided on.
func (a *attempt) send(ctx context.Context, conn *pgxpool.Conn, common string, r *reply) error {
	if r.place != nil && common != "" {
		args := []any{
			a.key, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, r.place.server, r.place.database, r.place.relation,
		}
		if a.c.sessions != nil || common == a.c.sql.claim {
			args = a.bind(r, args)
		}
		r.sent = a.sending()
		err := conn.QueryRow(ctx, common, args...).Scan(&r.granted)
		r.arrived = time.Now()
		if r.granted != nil || err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if a.waits && !a.queued {
			r.queue = true
			return nil
		}
	}

	if a.share != nil {
		return a.sendShare(ctx, conn, r)
	}
	var database *string
	var serverMicros, relation *int64
	args := a.bind(r, []any{a.key, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, waiterAlive.Milliseconds()})
	r.sent = a.sending()
	err := conn.QueryRow(ctx, a.c.sql.acquire, args...).
		Scan(&database, &serverMicros, &relation, &r.granted,
			&r.row.token, &r.row.owner, &r.row.held, &r.row.turn, &r.row.sinceMS, &r.row.remaining, &r.row.meta, &r.row.limit)
	r.arrived = time.Now()
	a.foundAt(r, err, database, serverMicros, relation)
	return err
}

// sendShare sends the statement that takes a share, and wakes the waiter that was granted one after it.
func (a *attempt) sendShare(ctx context.Context, conn *pgxpool.Conn, r *reply) error {
	var database, heir *string
	var serverMicros, relation *int64
	hinted, err := a.c.withHint(func(channel, prefix *string) error {
		args := a.bind(r, []any{
			a.key, a.id, a.c.cfg.Owner, a.options.TTL.Milliseconds(), a.meta, waiterAlive.Milliseconds(),
			a.c.cfg.ClaimTTL.Milliseconds(), a.share.limit, channel, prefix,
		})
		r.sent = a.sending()
		return conn.QueryRow(ctx, a.c.sql.share, args...).
			Scan(&database, &serverMicros, &relation, &r.granted,
				&r.row.token, &r.row.owner, &r.row.held, &r.row.turn, &r.row.sinceMS, &r.row.remaining, &r.row.meta, &r.row.limit, &heir)
	})
	r.arrived = time.Now()
	a.foundAt(r, err, database, serverMicros, relation)
	if err == nil && heir != nil {
		a.c.handed(ctx, *heir, hinted)
	}

	return err
}

// bind adds the session that a grant ends with to a statement's parameters.
func (a *attempt) bind(r *reply, args []any) []any {
	one, id, grace := a.c.sessions.binding()
	r.session = one
	return append(args, id, grace)
}

// foundAt notes where the incarnation was found to hold, if it was.
func (a *attempt) foundAt(r *reply, err error, database *string, serverMicros, relation *int64) {
	r.place = nil
	if err == nil && database != nil {
		r.place = &place{time.UnixMicro(*serverMicros), *database, uint32(*relation)}
		a.c.place.Store(r.place)
	}
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
		a.c.leaveNow(ctx, a.id, a.key)
		return nil, err
	}

	lease := newLease(a, token, r.place.database, r.sent, r.session)
	if lease.ValidFor() == 0 { // the answer took so long that the lease is over
		lease.discard(ReasonExpired)
		a.unsure = true
		return nil, nil
	}

	if !a.c.add(lease) {
		lease.discard(ReasonClosed)
		a.c.leaves.add(a.id, a.key)
		return nil, ErrClosed
	}

	lease.checkDeadline() // the session may have ended before the lease was added
	a.c.sawToken(token)
	a.share.compare(ctx, a.c.log, r.row.limit)
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
