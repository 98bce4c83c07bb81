package lock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// look is how often deadlines are compared with the wall clock.
const look = time.Second

// Run renews leases and keeps waiters in their queues until ctx ends. It returns when all its goroutines have ended.
// It survives every outage of the database. When ctx ends, the context of every lease ends with [ReasonClosed]. Run
// then renews unreleased leases for DrainTimeout and returns nil. It returns an error only at the start, for
// permanent errors: missing tables ([ErrSchema]), a missing privilege ([ErrPrivilege]), a rejected password. A second
// call returns [ErrRunning].
//
// Without Run leases are not renewed, and so end with their TTL; everything else works. Run may be called after the
// first lease was acquired.
func (l *Locker) Run(ctx context.Context) error {
	c := l.c
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return ErrRunning
	}
	c.started, c.running = true, true
	c.mu.Unlock()
	if c.bus != nil {
		defer c.bus.Subscribe(Topic, grants{c})()
	}
	k := &link{c: c}
	defer k.close()
	defer c.end()
	if err := c.checkStart(ctx, k); err != nil {
		return err
	}
	endSession, err := c.startSession(ctx)
	if err != nil {
		return err
	}
	defer endSession()
	var purging sync.WaitGroup
	defer purging.Wait()
	purging.Go(func() { c.purgeNowAndThen(ctx) })

	h := &heartbeat{c: c}
	c.loop(ctx, func(now time.Time) time.Time { return c.turn(ctx, k, h, now) })
	c.drain(k, h)
	return nil
}

// startSession makes the session that leases end with, if they do, and keeps one until it is ended, after the last renewal.
func (c *core) startSession(ctx context.Context) (end func(), err error) {
	if c.sessions == nil {
		return func() {}, nil
	}

	conn, one, err := c.sessions.open(ctx)
	if errors.Is(err, ErrConfig) {
		return nil, fmt.Errorf("lock: start: %w", err)
	}

	keeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var kept sync.WaitGroup
	kept.Go(func() { c.sessions.run(keeping, conn, one) })
	return func() {
		cancel()
		kept.Wait()
	}, nil
}

// checkStart connects until it succeeds, ctx ends, or it is hopeless.
func (c *core) checkStart(ctx context.Context, k *link) error {
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: time.Second}
	said := false

	for ctx.Err() == nil {
		err := k.do(ctx, patience, func(ctx context.Context, q querier) error { return c.check(ctx, q) })
		if err == nil {
			return nil
		}
		if hopeless(err) {
			return fmt.Errorf("lock: start: %w", explain(err))
		}
		if !said {
			said = true
			c.log.WarnContext(ctx, "database not ready, trying again", slog.Any("error", err))
		}
		backoff.Wait(ctx, wait.Next())
	}

	return nil
}

// check checks what Run refuses to start without.
func (c *core) check(ctx context.Context, q querier) error {
	if err := migrations().Check(ctx, q, c.cfg.Schema); err != nil {
		return err
	}
	var missing []string
	if err := q.QueryRow(ctx, c.sql.privileges).Scan(&missing); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w in schema %s: %s", ErrPrivilege, sqltext.Quote(c.cfg.Schema), strings.Join(missing, ", "))
	}
	return nil
}

func hopeless(err error) bool {
	return errors.Is(err, ErrSchema) || errors.Is(err, ErrPrivilege) || errors.Is(err, migrate.ErrHidden) || pgerr.IsPermanent(err)
}

// loop calls turn at the time that it returns, or earlier when it is woken, until ctx ends.
func (c *core) loop(ctx context.Context, turn func(time.Time) time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.poke:
		}
		next := turn(time.Now())
		timer.Reset(time.Until(next))
	}
}

// turn does what is due and returns when to call it again.
func (c *core) turn(ctx context.Context, k *link, h *heartbeat, now time.Time) (next time.Time) {
	next = now.Add(look)
	c.expire()
	if at := h.beat(ctx, k); at.Before(next) {
		next = at
	}
	if ids, at := c.waiting(); len(ids) > 0 {
		if !at.After(time.Now()) {
			err := c.touch(ctx, k, ids)
			failed := err != nil && ctx.Err() == nil
			if failed {
				c.metrics.beatsFailed.Add(1)
			}
			if failed && !c.failing {
				c.log.WarnContext(ctx, "waiters not kept in their queues, trying again", slog.Any("error", err))
			}
			c.failing = failed
			_, at = c.waiting()
		}
		if at.Before(next) {
			next = at
		}
	}

	return next
}

// drain ends the trust in all leases and goes on renewing, for some time, those that are not released yet.
func (c *core) drain(k *link, h *heartbeat) {
	c.close()
	ctx, cancel := context.WithTimeout(context.Background(), max(c.cfg.DrainTimeout, 0))
	defer cancel()
	c.loop(ctx, func(now time.Time) time.Time {
		if c.held() == 0 {
			cancel()
			return now
		}
		return h.beat(ctx, k)
	})
}

// close refuses new leases and ends the trust in those there are.
func (c *core) close() {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	leases := make([]*Lease, 0, len(c.leases))

	for l := range c.leases {
		leases = append(leases, l)
	}
	c.mu.Unlock()
	close(c.closed)

	for _, l := range leases {
		l.lose(ReasonClosed)
	}
	c.wakeLoop()
}

func (c *core) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.leases)
}

// end is the end of Run, however it came.
func (c *core) end() {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	clear(c.leases)
	for _, watchers := range c.watchers {
		c.wakeWatchers(watchers)
	}
}
