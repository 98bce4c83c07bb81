package bus

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// confirmer works the confirmations off.
type confirmer struct {
	*env
	confirms *confirmations

	look    time.Time // when to read the positions next
	pause   time.Duration
	request beatRequest
}

// beatRequest asks the pods to beat at once: the sweeper sends it with its next mark.
type beatRequest struct {
	pending bool
	sent    time.Time // when the last one went out
}

const (
	firstLook = time.Millisecond
	askAgain  = 300 * time.Millisecond
)

// due is at once for a confirmation that has not begun, and for the others when the positions are to be read again.
func (c *confirmer) due(now time.Time, _ status) time.Time {
	due := never(now)
	for _, w := range c.confirms.list() {
		if w.since.IsZero() {
			return now
		}
		if c.look.Before(due) {
			due = c.look
		}
	}
	return due
}

// run begins new confirmations, or checks whether the positions of all pods suffice for the others.
func (c *confirmer) run(ctx context.Context, conn *pgx.Conn, st status) error {
	var begin []*confirmation
	for _, w := range c.confirms.list() {
		if w.since.IsZero() {
			begin = append(begin, w)
		}
	}
	if len(begin) > 0 {
		if err := c.begin(ctx, conn, begin); err != nil {
			return err
		}
		c.request.pending, c.pause = true, firstLook
		c.look = time.Now().Add(c.pause)
		return nil
	}

	c.pause = min(c.pause*3/2, 50*time.Millisecond)
	c.look = time.Now().Add(c.pause)
	if time.Since(c.request.sent) > askAgain {
		c.request.pending = true
	}
	if st.epoch == "" {
		return nil
	}

	// A pod may still trust what it holds from an epoch whose end this pod has not seen, and have no row in this one. It
	// cannot if this epoch is older than a pod lease, whichever pod has watched it for that long.
	all, err := c.positions(ctx, conn, st.epoch)
	if err != nil || !all.synced {
		return err
	}
	watched := max(st.watched(time.Now()), all.watched)
	if watched < c.lease.get() && !c.guards.ConfirmWithoutEpochWait {
		return nil
	}
	c.confirms.settle(func(w *confirmation) bool {
		ok := !w.since.IsZero() && w.epoch == st.epoch && all.least.AtLeast(w.after) && (watched >= w.lease || c.guards.ConfirmWithoutEpochWait)
		if ok {
			w.done <- nil
		}
		return ok
	})
	return nil
}

// begin reads the snapshot that all positions have to reach, and refuses receipts that it does not bear out.
func (c *confirmer) begin(ctx context.Context, conn *pgx.Conn, begin []*confirmation) error {
	xids := make([]string, len(begin))
	for i, w := range begin {
		xids[i] = strconv.FormatUint(w.receipt.xid, 10)
	}

	var identity *string
	var current string
	var status []*string
	var leaseMillis int64
	c.stats.statements.Add(1)
	if err := conn.QueryRow(ctx, c.sql.confirm, xids).Scan(&identity, &current, &status, &leaseMillis); err != nil {
		return err
	}
	snapshot, err := position.ParseSnapshot(current)
	if err != nil {
		return err
	}

	lease := max(c.lease.get(), milliseconds(leaseMillis))
	refused := make(map[*confirmation]error)
	for i, w := range begin {
		switch {
		case identity == nil || epochID(*identity) != w.receipt.epoch:
			refused[w] = fmt.Errorf("%w: the log's epoch has changed since, or it had none then", ErrUnconfirmed)
		case w.receipt.xid == 0 || status[i] == nil || *status[i] != "committed" || !snapshot.Sees(w.receipt.xid):
			refused[w] = fmt.Errorf("%w: transaction %d has not committed", ErrUnconfirmed, w.receipt.xid)
		default:
			w.epoch, w.after, w.since, w.lease = w.receipt.epoch, snapshot.Stamp(), time.Now(), lease
			w.begun <- lease // counted from after the snapshot: later, and so safe
		}
	}
	c.confirms.settle(func(w *confirmation) bool {
		err, ok := refused[w]
		if ok {
			w.done <- err
		}
		return ok
	})
	return nil
}

// podPositions is what the rows of all pods say.
type podPositions struct {
	least   position.Stamp // the least position
	synced  bool           // all are in the epoch
	watched time.Duration  // the longest time for which one of them has watched the epoch
}

// positions reads the rows of all pods.
func (c *confirmer) positions(ctx context.Context, conn *pgx.Conn, epoch string) (all podPositions, err error) {
	query := c.sql.positions
	if c.guards.ConfirmByClock {
		query += " " + sqltext.Render("WHERE beat_at > clock_timestamp() - (SELECT pod_lease FROM /*schema*/pgcoherence.setting)", c.cfg.Schema)
	}
	c.stats.statements.Add(1)
	rows, err := conn.Query(ctx, query, epoch)
	if err != nil {
		return all, fmt.Errorf("read positions: %w", err)
	}

	var same bool
	var xmaxText string
	var n, watched int64
	count := 0
	all.synced = true
	_, err = pgx.ForEachRow(rows, []any{&same, &xmaxText, &n, &watched}, func() error {
		xmax, err := strconv.ParseUint(xmaxText, 10, 64)
		if err != nil {
			return err
		}
		stamp := position.Stamp{Xmax: xmax, InProgress: uint32(n)}
		if c.guards.ConfirmByNumber {
			stamp.Xmax = math.MaxUint64 // count rows, whatever they say
		}
		if count++; count == 1 || all.least.AtLeast(stamp) {
			all.least = stamp
		}
		all.synced = all.synced && same
		if same {
			all.watched = max(all.watched, time.Duration(min(max(watched, 0), maxPodLease.Milliseconds()))*time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return all, fmt.Errorf("read positions: %w", err)
	}
	all.synced = all.synced && count > 0
	return all, nil
}
