package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// control owns the second connection and does everything that is not listening. It is one goroutine that always runs the
// most urgent task, one statement at a time. What the tasks are is the table in newControl.
type control struct {
	*env
	applier *applier
	dialer  *dialer
	session *session

	tasks     []task
	served    uint // bits of the tasks that have had their turn
	liveness  *liveness
	heartbeat *heartbeat
	announcer *announcer
	reaper    *reaper
}

// task is one kind of work of the control loop.
type task struct {
	name string
	// due returns when the task wants to run next, from the time and the status at the start of the turn. It is the one
	// place that says so: the loop sleeps until the earliest due time of all tasks.
	due func(now time.Time, st status) time.Time
	run func(ctx context.Context, conn *pgx.Conn, st status) error
}

// never is a due time of a task that has nothing to do: the loop looks again before.
func never(now time.Time) time.Time { return now.Add(time.Hour) }

// longestSleep is after how long the loop computes all due times again, whatever they were.
const longestSleep = time.Second

func newControl(
	e *env, applier *applier, health *health, outbox *outbox, confirms *confirmations, listener *listener, dialer *dialer,
) *control {
	c := &control{env: e, applier: applier, dialer: dialer}
	notifier := notifier{e}
	c.liveness = &liveness{env: e, health: health, notifier: notifier, reconnect: listener.kick}
	c.reaper = &reaper{env: e, liveness: c.liveness}
	pruner := &pruner{env: e, liveness: c.liveness}
	reader := &reader{env: e, applier: applier, liveness: c.liveness}
	c.heartbeat = &heartbeat{
		env: e, applier: applier, health: health, liveness: c.liveness, succeeded: dialer.succeeded, keep: pruner.keep, started: time.Now(),
	}
	c.reaper.setPods = c.heartbeat.setPods
	c.announcer = &announcer{env: e, applier: applier, health: health, notifier: notifier, outbox: outbox}
	confirmer := &confirmer{env: e, confirms: confirms}
	sweeper := &sweeper{
		env: e, applier: applier, health: health, liveness: c.liveness, notifier: notifier, reading: sweepReading{env: e, applier: applier},
		count: c.reaper.count, request: &confirmer.request,
	}

	// In order of urgency, one turn each: the order is part of the protocol. Nothing is done before this pod's row is
	// committed; a difference comes before the beat that it proves, and before the sweep that starts from it.
	c.tasks = []task{
		{"register", c.heartbeat.registerDue, c.heartbeat.register},
		{"read difference", reader.due, reader.run},
		{"beat", c.heartbeat.due, c.heartbeat.beat},
		{"probe", c.liveness.probeDue, c.liveness.sendProbe},
		{"announce", c.announcer.due, c.announcer.run},
		{"confirm", confirmer.due, confirmer.run},
		{"sweep", sweeper.due, sweeper.run},
		{"prune", pruner.due, pruner.run},
		{"reap", c.reaper.due, c.reaper.run},
	}
	return c
}

// run works until ctx ends, through as many sessions as it takes.
func (c *control) run(ctx context.Context, first *session) {
	c.session = first
	for ctx.Err() == nil {
		err := c.ensureSession(ctx)
		if err == nil {
			err = c.serve(ctx)
		}
		if ctx.Err() != nil {
			break
		}

		if c.session != nil {
			c.session.close()
			c.session = nil
		}

		c.dialer.failed(ctx, err)
	}

	c.shutdown()
}

// ensureSession connects if there is no session, and checks what every session needs.
func (c *control) ensureSession(ctx context.Context) (err error) {
	if c.session == nil {
		if c.session, err = c.dialer.dial(ctx); err != nil {
			return err
		}
	}

	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := c.checkSchema(ctx, c.session.conn); err != nil {
		return err
	}
	return c.loadPodLease(ctx, c.session.conn)
}

// serve works until the connection breaks or ctx ends.
func (c *control) serve(ctx context.Context) error {
	c.heartbeat.connected(time.Now())

	for ctx.Err() == nil {
		wait, err := c.step(ctx)
		if err != nil {
			if _, refused := pgerr.As(err); !refused || c.session.conn.IsClosed() {
				return err
			}

			// A full queue or disk, a dropped schema: log it and go on.
			c.dialer.refused(ctx, err)

			if pgerr.IsQueueFull(err) {
				c.advanceQueue(ctx)
			}

			continue
		}

		c.requests.sleepUntilSignalled(ctx, wait)
	}

	return nil
}

// step runs the most urgent due task. It returns the time until the next one is due, or 0 if it ran one.
func (c *control) step(ctx context.Context) (time.Duration, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()

	now, st := time.Now(), c.applier.status()
	c.liveness.observe(now, st)

	next := now.Add(longestSleep)
	again := false // a task is due that has had its turn
	for i, t := range c.tasks {
		due := t.due(now, st)
		if due.Before(next) {
			next = due
		}
		if due.After(now) {
			continue
		}
		if i > 0 && c.served&(1<<i) != 0 {
			again = true
			continue
		}
		return 0, c.runTask(ctx, i, st)
	}

	c.served = 0
	if again {
		return 0, nil
	}
	return max(next.Sub(now), time.Microsecond), nil
}

// runTask runs one task, which then lets all others that are due have their turn: where every statement takes longer than
// the task's own interval it would be due for ever, and beats would never be sent. Registering needs no turn: it is due
// only while nothing else may be done.
func (c *control) runTask(ctx context.Context, i int, st status) error {
	c.served |= 1 << i
	if err := c.tasks[i].run(ctx, c.session.conn, st); err != nil {
		return fmt.Errorf("bus: %s: %w", c.tasks[i].name, err)
	}

	return nil
}

// advanceQueue makes the server look whether the notification queue can be shortened, once the listener that held it is
// gone. A NOTIFY that fails does not look, and where every NOTIFY fails no other session does; asking for the usage does
// (see pg_notification_queue_usage in Postgres' async.c).
func (c *control) advanceQueue(ctx context.Context) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	c.stats.statements.Add(1)
	_, _ = c.session.conn.Exec(ctx, "SELECT pg_notification_queue_usage()") // the next NOTIFY shows whether it helped
}

// shutdown announces what waits and deletes this pod's row, as far as that is possible in a moment. Trust ends before the
// row does.
func (c *control) shutdown() {
	c.applier.fresh.closed.Store(true)
	if c.session == nil {
		return
	}

	ctx, cancel := c.bounded(context.Background())
	defer cancel()
	if !c.session.conn.IsClosed() {
		_ = c.announcer.announce(ctx, c.session.conn, c.applier.status()) // else the sweep of another pod does
		_, _ = c.session.conn.Exec(ctx, c.sql.deregister, c.ID())         // else the row is reaped
	}
	c.session.close()
}

// bounded returns a context for one statement. The end of Run does not break off a statement that is under way: it is
// done soon, one way or the other, and the connection is still of use for the shutdown.
func (c *control) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.statementTimeout())
}
