package bus

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Confirm waits until no request that starts after it returned can be served what the receipt's events made invalid, by
// any pod. It returns nil when every pod has applied the events, or when one pod lease has passed, after which no pod
// that has not can still be fresh. So a pod that died, hangs or is cut off delays it by at most the pod lease. On a
// cluster in which all is well it takes a few milliseconds; in the first pod lease after this bus started or the log
// began anew it takes that long.
//
// A zero receipt is confirmed at once. ErrUnconfirmed: the receipt's transaction did not commit, or the log has begun
// anew since. ErrNotRunning: Run has not been called or has ended. Otherwise the error is that of ctx. Any goroutine may
// call it; it uses no connection of the pool.
func (p *Postgres) Confirm(ctx context.Context, r Receipt) error {
	if r.IsZero() {
		return nil
	}
	if state := State(p.state.Load()); state == Starting || state == Closed {
		return ErrNotRunning
	}
	c := &confirmation{receipt: r, done: make(chan error, 1), begun: make(chan time.Duration, 1)}
	if !p.confirms.add(c) {
		return ErrNotRunning
	}
	p.want.poke()
	defer p.confirms.remove(c)
	// Who has not applied the events within a pod lease has not been able to prove freshness for longer than it may
	// trust its cache. This process' monotonic clock tells, whether or not the database still answers.
	var lease <-chan time.Time
	for {
		select {
		case err := <-c.done:
			return err
		case d := <-c.begun:
			lease = time.After(d)
		case <-lease:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// confirmation is one Confirm that waits.
type confirmation struct {
	receipt Receipt
	done    chan error         // holds one
	begun   chan time.Duration // holds one: how long from now the pod lease lasts that began with the snapshot
	epoch   string
	after   position.Stamp // every position has to reach this
	since   time.Time      // when the snapshot was asked for; zero: not yet
}

// confirmations are the Confirms that wait, handed from their goroutines to the control loop.
type confirmations struct {
	mu      sync.Mutex
	waiting []*confirmation
	closed  bool
}

func (w *confirmations) add(c *confirmation) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.waiting = append(w.waiting, c)
	}
	return !w.closed
}

func (w *confirmations) remove(c *confirmation) {
	w.settle(func(o *confirmation) bool { return o == c })
}

// settle takes out those for which done answers true.
func (w *confirmations) settle(done func(*confirmation) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.waiting[:0]
	for _, c := range w.waiting {
		if !done(c) {
			kept = append(kept, c)
		}
	}
	clear(w.waiting[len(kept):])
	w.waiting = kept
}

// list is a copy of those that wait.
func (w *confirmations) list() []*confirmation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*confirmation(nil), w.waiting...)
}

// close ends all that wait, and all that come, with ErrNotRunning.
func (w *confirmations) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.settle(func(c *confirmation) bool {
		c.done <- ErrNotRunning
		return true
	})
}

// confirmer works the confirmations off, on the control connection.
type confirmer struct {
	p     *Postgres
	look  time.Time // when to look at the positions next
	pause time.Duration
	asked time.Time // when all pods were last asked to beat at once
	ask   bool      // they are to be asked
}

const (
	firstLook = time.Millisecond
	askAgain  = 300 * time.Millisecond
)

// due is when there is something to do.
func (c *confirmer) due(now time.Time) time.Time {
	due := now.Add(time.Hour)
	for _, w := range c.p.confirms.list() {
		if w.since.IsZero() {
			return now
		}
		if c.look.Before(due) {
			due = c.look
		}
	}
	return due
}

// step begins new confirmations and looks how the others stand.
func (c *confirmer) step(ctx context.Context, conn *pgx.Conn, st standing, lease time.Duration) error {
	var begin []*confirmation
	for _, w := range c.p.confirms.list() {
		if w.since.IsZero() {
			begin = append(begin, w)
		}
	}
	if len(begin) > 0 {
		if err := c.begin(ctx, conn, begin, lease); err != nil {
			return err
		}
		c.ask, c.pause = true, firstLook
		c.look = time.Now().Add(c.pause)
		return nil
	}
	c.pause = min(c.pause*3/2, 50*time.Millisecond)
	c.look = time.Now().Add(c.pause)
	if time.Since(c.asked) > askAgain {
		c.ask = true
	}
	if st.epoch == "" || time.Since(st.epochSince) < lease && !c.p.guards.ConfirmWithoutEpochWait {
		return nil // a pod may still trust what it held in an epoch whose end we did not see
	}
	least, synced, err := c.positions(ctx, conn, st.epoch)
	if err != nil || !synced {
		return err
	}
	c.p.confirms.settle(func(w *confirmation) bool {
		ok := !w.since.IsZero() && w.epoch == st.epoch && least.AtLeast(w.after)
		if ok {
			w.done <- nil
		}
		return ok
	})
	return nil
}

// begin reads the snapshot that all positions have to reach, and refuses receipts that it does not bear out.
func (c *confirmer) begin(ctx context.Context, conn *pgx.Conn, begin []*confirmation, lease time.Duration) error {
	xids := make([]string, len(begin))
	for i, w := range begin {
		xids[i] = strconv.FormatUint(w.receipt.xid, 10)
	}
	var identity *string
	var current string
	var status []*string
	c.p.stats.statements.Add(1)
	if err := conn.QueryRow(ctx, c.p.sql.confirm, xids).Scan(&identity, &current, &status); err != nil {
		return fmt.Errorf("bus: confirm: %w", err)
	}
	snapshot, err := position.ParseSnapshot(current)
	if err != nil {
		return err
	}
	refused := make(map[*confirmation]error)
	for i, w := range begin {
		switch {
		case identity == nil || epochID(*identity) != w.receipt.epoch:
			refused[w] = fmt.Errorf("%w: the log has begun anew since, or had no epoch then", ErrUnconfirmed)
		case w.receipt.xid == 0 || status[i] == nil || *status[i] != "committed" || !snapshot.Sees(w.receipt.xid):
			refused[w] = fmt.Errorf("%w: transaction %d has not committed", ErrUnconfirmed, w.receipt.xid)
		default:
			w.epoch, w.after, w.since = w.receipt.epoch, snapshot.Stamp(), time.Now()
			w.begun <- lease // counted from after the snapshot: later, and so safe
		}
	}
	c.p.confirms.settle(func(w *confirmation) bool {
		err, ok := refused[w]
		if ok {
			w.done <- err
		}
		return ok
	})
	return nil
}

// positions is the least position of all pods; not synced if one of them does not stand in the epoch.
func (c *confirmer) positions(ctx context.Context, conn *pgx.Conn, epoch string) (least position.Stamp, synced bool, err error) {
	c.p.stats.statements.Add(1)
	query := c.p.sql.positions
	if c.p.guards.ConfirmByClock {
		query += " " + sqltext.Render("WHERE beat_at > clock_timestamp() - (SELECT pod_lease FROM /*schema*/pgcoherence.setting)", c.p.cfg.Schema)
	}
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return least, false, fmt.Errorf("bus: read positions: %w", err)
	}
	var of, xmaxText string
	var n int64
	first, synced := true, true
	_, err = pgx.ForEachRow(rows, []any{&of, &xmaxText, &n}, func() error {
		xmax, err := strconv.ParseUint(xmaxText, 10, 64)
		if err != nil {
			return err
		}
		stamp := position.Stamp{Xmax: xmax, InProgress: uint32(n)}
		if c.p.guards.ConfirmByNumber {
			stamp.Xmax = math.MaxUint64 // it answered: that is number enough
		}
		if first || least.AtLeast(stamp) {
			least, first = stamp, false
		}
		synced = synced && of == epoch
		return nil
	})
	if err != nil {
		return least, false, fmt.Errorf("bus: read positions: %w", err)
	}
	return least, synced && !first, nil
}
