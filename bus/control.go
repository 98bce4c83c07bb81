package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/pgerr"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// control owns the second connection and does everything that is not listening: register, beat, announce, sweep, read
// the difference, prune, reap. It is one goroutine that always does the most urgent thing, one statement at a time.
type control struct {
	p        *Postgres
	listener *listener
	dialer   *dialer
	session  *session

	registered bool
	nextBeat   time.Time
	askedAt    time.Time // last beat on request: requests are coalesced
	nextRead   time.Time // earliest difference read
	timeouts   int       // difference reads in a row that took too long
	deafSince  time.Time // notifications do not arrive; zero: they do
	lostSince  time.Time // the listening connection is down; zero: it is not
	upSince    time.Time // it stands and has caught up; zero: it does not
	nextKick   time.Time
	probe      bool   // send a message to hear it
	probeSent  uint64 // its number; 0: none is on its way

	announcer announcer
	sweeper   sweeper
	confirmer confirmer
	pruner    pruner
	reaper    reaper
}

// askEvery is the least time between two beats on request. Confirmations that wait meanwhile share one: with 50 pods it
// is 50 ms, so requests cost at most a thousand beats a second, however many confirm.
func (c *control) askEvery() time.Duration {
	return time.Duration(max(c.p.pods.Load(), 2)) * time.Millisecond
}

func newControl(p *Postgres, l *listener) *control {
	c := &control{p: p, listener: l, dialer: newDialer(p, "control "+p.cfg.Name)}
	c.announcer.p, c.sweeper.p, c.confirmer.p, c.pruner.p, c.reaper.p = p, p, p, p, p
	return c
}

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
	c.leave()
}

func (c *control) ensureSession(ctx context.Context) (err error) {
	if c.session == nil {
		if c.session, err = c.dialer.dial(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := c.p.checkSchema(ctx, c.session.conn); err != nil {
		return err
	}
	return c.reaper.readLease(ctx, c.session.conn)
}

// serve works until the connection breaks or ctx ends.
func (c *control) serve(ctx context.Context) error {
	c.registered, c.nextBeat = false, time.Now()
	for ctx.Err() == nil {
		wait, err := c.step(ctx)
		if err != nil {
			if _, refused := pgerr.As(err); !refused || c.session.conn.IsClosed() {
				return err
			}
			// A full queue or disk, a dropped schema: say so and go on.
			c.dialer.refused(ctx, err)
			if pgerr.IsQueueFull(err) {
				c.advanceQueue(ctx)
			}
			continue
		}
		c.p.want.rest(ctx, wait)
	}
	return nil
}

// rest waits until something is wanted, d has passed or ctx ends.
func (w *wanted) rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-w.wake:
	case <-t.C:
	}
}

// advanceQueue makes the server look whether the notification queue can be shortened, once whoever held it is gone. A
// NOTIFY that fails does not look, and where every NOTIFY fails nobody else does; asking for the usage does (see
// pg_notification_queue_usage in Postgres' async.c).
func (c *control) advanceQueue(ctx context.Context) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	c.p.stats.statements.Add(1)
	_, _ = c.session.conn.Exec(ctx, "SELECT pg_notification_queue_usage()") // the next NOTIFY tells whether it helped
}

// step does the most urgent thing that is due and answers 0, or answers how long nothing is.
func (c *control) step(ctx context.Context) (time.Duration, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	conn := c.session.conn
	if !c.registered {
		return 0, c.register(ctx)
	}
	now := time.Now()
	st := c.p.applier.standing()
	c.watch(now, st)
	readAt := c.readAt(now)
	switch {
	case !readAt.After(now):
		return 0, c.read(ctx)
	case !c.beatAt(st).After(now):
		return 0, c.beat(ctx)
	case c.probe:
		return 0, c.sendProbe(ctx, st)
	case !c.announcer.due(now, st).After(now):
		return 0, c.announcer.step(ctx, conn, st)
	case !c.confirmer.due(now).After(now):
		return 0, c.confirmer.step(ctx, conn, st, c.reaper.lease)
	case !c.sweepAt(st).After(now):
		return 0, c.sweep(ctx, st)
	}
	if c.sweeper.mine(st) || c.polling() { // where nobody listens nobody sweeps
		if done, err := c.pruner.step(ctx, conn, st); done || err != nil {
			return 0, err
		}
		if done, err := c.reaper.step(ctx, conn, now); done || err != nil {
			return 0, err
		}
	}
	next := now.Add(time.Second)
	for _, t := range []time.Time{readAt, c.beatAt(st), c.announcer.due(now, st), c.sweepAt(st), c.confirmer.due(now)} {
		if t.Before(next) {
			next = t
		}
	}
	return max(next.Sub(now), time.Microsecond), nil
}

// register commits this pod's row: a pod trusts nothing before.
func (c *control) register(ctx context.Context) error {
	c.p.stats.statements.Add(1)
	if _, err := c.session.conn.Exec(ctx, c.p.sql.register, c.p.ID(), c.p.cfg.Name, c.info()); err != nil {
		return fmt.Errorf("bus: register: %w", err)
	}
	c.registered, c.nextBeat = true, time.Now()
	c.dialer.succeeded()
	return nil
}

func (c *control) info() string {
	text, _ := json.Marshal(map[string]string{"version": c.p.cfg.Version, "state": c.p.State().String()}) // always encodes
	return string(text)
}

// beatAt is when the next beat is due. One on request waits until the position is where the mark that came with the
// request has moved it: before, it would tell nothing.
func (c *control) beatAt(st standing) time.Time {
	if at := c.askedAt.Add(c.askEvery()); c.p.want.ask.Load() && st.caughtUp && at.Before(c.nextBeat) {
		return at
	}
	return c.nextBeat
}

// beat writes this pod's row. The answer is a snapshot taken after the beat was sent: when the position has passed it,
// the pod was in sync at that time.
func (c *control) beat(ctx context.Context) error {
	if c.p.want.ask.Swap(false) {
		c.askedAt = time.Now()
	}
	st := c.p.applier.standing()
	var current string
	var identity *string
	var pods int64
	var databaseNow time.Time
	var queueUsage float64
	sent := time.Now()
	c.p.stats.statements.Add(1)
	err := c.session.conn.QueryRow(ctx, c.p.sql.beat, c.p.ID(), st.epoch, fmt.Sprint(st.position.Xmax),
		int64(st.position.InProgress), c.info()).Scan(&current, &identity, &pods, &databaseNow, &queueUsage)
	if errors.Is(err, pgx.ErrNoRows) {
		c.p.log.WarnContext(ctx, "this pod's row is gone: registering anew")
		c.registered = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("bus: beat: %w", err)
	}
	answered := time.Now()
	c.nextBeat = sent.Add(c.p.cfg.BeatInterval)
	c.p.pods.Store(pods)
	c.p.applier.count(pods)
	c.p.stats.queue.Store(math.Float64bits(queueUsage))
	c.p.applier.offset.Store(int64(databaseNow.Sub(sent.Add(answered.Sub(sent) / 2))))
	c.p.stats.beats.Add(1)
	c.dialer.succeeded()
	answer, err := position.ParseSnapshot(current)
	if err != nil {
		return err
	}
	if identity == nil || !c.p.applier.beat(epochID(*identity), answer, sent) {
		c.p.want.gap.Store(true)
		return nil
	}
	c.pruner.keep(sent, st.epoch, answer)
	if !c.p.Fresh() && c.mayProve(answered) {
		c.p.want.gap.Store(true) // the first proof need not wait for a mark
	}
	return nil
}

// read reads the difference and applies it.
func (c *control) read(ctx context.Context) error {
	if c.p.want.gap.Swap(false) {
		c.p.stats.gaps.Add(1)
	} else {
		c.p.stats.polls.Add(1)
	}
	// Junk on the channel asks for a read as well: not more often than a sweep.
	c.nextRead = time.Now().Add(min(c.p.cfg.SweepInterval, c.p.cfg.PollInterval))
	d, err := c.p.readDifference(ctx, c.session.conn, c.p.applier.base(), c.timeouts >= 2)
	if err != nil {
		c.p.want.gap.Store(true)
		if errors.Is(err, context.DeadlineExceeded) {
			c.timeouts++ // too much for this line: give up on the details and reset
		}
		return err
	}
	c.timeouts = 0
	c.p.applied(c.p.applier.difference(d))
	return nil
}

func (c *control) sweepAt(st standing) time.Time {
	// Only a pod that is live itself may sweep for all.
	if st.codec == nil || !c.deafSince.IsZero() || !c.p.want.listening.Load() || !c.p.Fresh() {
		return time.Now().Add(time.Hour)
	}
	if c.confirmer.ask {
		return c.confirmer.asked.Add(c.askEvery())
	}
	return c.sweeper.due(st)
}

func (c *control) sweep(ctx context.Context, st standing) error {
	ask := c.confirmer.ask
	if ask {
		c.confirmer.ask, c.confirmer.asked = false, time.Now()
	}
	again, err := c.sweeper.sweep(ctx, c.session.conn, st, ask)
	if again {
		c.p.want.gap.Store(true)
	}
	return err
}

// leave announces what waits and takes this pod off the list, as far as that is possible in a moment. Trust ends
// before the row does.
func (c *control) leave() {
	c.p.applier.closed.Store(true)
	if c.session == nil {
		return
	}
	ctx, cancel := c.bounded(context.Background())
	defer cancel()
	if !c.session.conn.IsClosed() {
		_ = c.announcer.announce(ctx, c.session.conn, c.p.applier.standing()) // else the sweep of another pod does
		_, _ = c.session.conn.Exec(ctx, c.p.sql.deregister, c.p.ID())         // else the row is reaped
	}
	c.session.close()
}

// bounded is a context for one statement. The end of Run does not break off a statement that is under way: it is done
// soon, one way or the other, and the connection is still of use for leaving.
func (c *control) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.p.patience())
}
