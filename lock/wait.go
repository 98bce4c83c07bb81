package lock

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// Acquire acquires a lease. It waits for it, first come first served, until ctx ends. ctx bounds only the wait: the
// lease is held until Release, or until it is lost. Acquire survives outages of the database. Its errors, apart from
// the end of ctx and [ErrClosed], are permanent and need an operator.
//
// The bus wakes a waiter when it is granted the lease; a waiter also polls at least once a second. Each statement
// takes a connection from the pool; waiting takes none.
func (l *Locker) Acquire(ctx context.Context, key string) (*Lease, error) {
	return l.acquire(ctx, key, nil)
}

func (l *Locker) acquire(ctx context.Context, key string, s *share) (*Lease, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	begun := time.Now()
	a := l.attempt(ctx, key)
	a.share = s
	lease, err := a.await(ctx)
	l.c.metrics.acquired(err)
	l.c.metrics.waited(time.Since(begun), err)
	return lease, err
}

// waiter is a call of this process that waits for a lease.
type waiter struct {
	id, key string
	woken   chan struct{} // it may be its turn
	dropped chan struct{} // its row is gone: taken for dead
}

func (w *waiter) poke() { signal(w.woken) }

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// await is a loop of trying, entering the queue when the lease is held, and trying again when it is this
// waiter's turn.
func (a *attempt) await(ctx context.Context) (*Lease, error) {
	a.waits = true
	var w *waiter // from when it is in the queue
	defer func() {
		if w != nil {
			a.c.unregister(w)
		}
	}()
	failure := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}
	busy := busyLeast

	for first := true; ; first = false {
		var lease *Lease
		held, err := &HeldError{Key: a.key, Queued: true}, error(nil)
		if !first || !a.c.isAwaited(a.key) {
			lease, held, err = a.try(ctx)
		}
		a.note(ctx, err)

		switch {
		case err == nil && held == nil:
			return lease, nil // the grant has taken it out of the queue
		case err == nil && held.Guarded && a.queued: // its turn, but the row is locked
			if !backoff.Wait(ctx, jitter(busy)) {
				err = ctx.Err()
			}
			busy = min(2*busy, busyMost)
		case err == nil:
			busy = busyLeast
			if !a.queued {
				a.queued = true
				w = &waiter{id: a.id, key: a.key, woken: make(chan struct{}, 1), dropped: make(chan struct{}, 1)}
				a.c.register(w)
				signal(w.dropped) // it is not in the queue yet
			}
			err = a.standBy(ctx, w)
			a.note(ctx, err)
			if a.unknown = errors.Is(err, errUnknown); a.unknown {
				err = nil
			}
		}

		if err == nil {
			continue
		}
		if transient(err) && ctx.Err() == nil && backoff.Wait(ctx, failure.Next()) {
			continue
		}

		// What was granted or entered meanwhile is undone in the background.
		a.giveUp(err)
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		return nil, a.wrap(ctx, err)
	}
}

// tooLate is how long before it gives up a waiter is handed nothing any more: a hand-over may take as long.
const tooLate = 15 * time.Millisecond

// errUnknown: there is no such lease, and so no queue: it was never taken, or its row was purged.
var errUnknown = errors.New("lock: no such lease")

// standBy returns nil when it may be the waiter's turn, and errUnknown when it is in no queue because there is none.
func (a *attempt) standBy(ctx context.Context, w *waiter) error {
	c := a.c

	for {
		select {
		case <-w.dropped:
			free, err := a.enqueue(ctx, w)
			if err != nil {
				signal(w.dropped)
				return err
			}
			if free {
				return nil
			}
			continue
		default:
		}
		timer := time.NewTimer(jitter(waiterBeat))
		select {
		case <-w.woken:
			timer.Stop()
			return nil
		case <-w.dropped:
			timer.Stop()
			signal(w.dropped)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-c.closed:
			timer.Stop()
			return ErrClosed
		case <-timer.C:
			if c.isRunning() {
				continue // the loop of Run touches all waiters
			}
			if err := c.touchOne(ctx, w); err != nil {
				return err
			}
		}
	}
}

// enqueue enters the queue and reports whether the lease is free by now. The error is errUnknown if there is none. When
// ctx ends meanwhile, the queue is left as soon as it has been entered.
func (a *attempt) enqueue(ctx context.Context, w *waiter) (free bool, err error) {
	c := a.c
	conn, err := c.enter(ctx)
	if err != nil {
		return false, err
	}
	var waits *int64 // ms
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left < tooLate { // nothing would be handed to it
			c.exit(conn)
			<-ctx.Done()
			return false, context.Cause(ctx)
		}
		milliseconds := left.Milliseconds()
		waits = &milliseconds
	}

	channel, prefix, _ := c.hintTo()
	r := new(struct { // may be written after the caller has gone
		free      bool
		remaining int64
	})
	err, ok := finish(ctx, 0, longestTry, func(ctx context.Context) error {
		defer c.exit(conn)
		for {
			err := conn.QueryRow(ctx, c.sql.enqueue, w.key, w.id, c.cfg.Owner, c.member, waits, channel, prefix, a.share.wants()).Scan(&r.free, &r.remaining)
			if !conflicting(err) || !backoff.Wait(ctx, conflictWait()) {
				return err
			}
		}
	}, func(error) { c.leaves.add(w.id, w.key) })

	switch {
	case !ok:
		a.away = true
		return false, context.Cause(ctx)
	case errors.Is(err, pgx.ErrNoRows):
		return false, errUnknown
	case err != nil:
		return false, err
	}
	c.touchBy(time.Now().Add(time.Duration(r.remaining) * time.Millisecond))
	return r.free, nil
}

// enter takes a connection for a statement that asks for a lease or enters a queue. Not all of the pool's: those who give
// leases up, or were handed one, are not to wait behind everybody who would like to have one.
func (c *core) enter(ctx context.Context) (*pgxpool.Conn, error) {
	select {
	case c.entry <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		<-c.entry
	}
	return conn, err
}

// exit gives the connection back.
func (c *core) exit(conn *pgxpool.Conn) {
	conn.Release()
	<-c.entry
}

func (c *core) register(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters[w.id] = w
	c.awaited[w.key]++
}

func (c *core) unregister(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiters, w.id)
	if c.awaited[w.key]--; c.awaited[w.key] == 0 {
		delete(c.awaited, w.key)
	}
}

// isAwaited reports whether a call of this process waits for a key: the next one would find it held, or have to
// let others go first.
func (c *core) isAwaited(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.awaited[key] > 0
}
