package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// heartbeat keeps this pod's row: it registers the pod, and writes its position once per BeatInterval or on request.
type heartbeat struct {
	*env
	applier   *applier
	health    *health
	liveness  *liveness
	succeeded func() // the connection is of use
	keep      func(at time.Time, epoch string, s position.Snapshot)

	registered bool
	next       time.Time
	requested  time.Time // last beat on request: requests are coalesced
}

// connected begins a new session: the pod's row may be gone.
func (h *heartbeat) connected(now time.Time) { h.registered, h.next = false, now }

func (h *heartbeat) registerDue(now time.Time, _ status) time.Time {
	if h.registered {
		return never(now)
	}
	return now
}

// register commits this pod's row: a pod trusts nothing before.
func (h *heartbeat) register(ctx context.Context, conn *pgx.Conn, _ status) error {
	h.stats.statements.Add(1)
	if _, err := conn.Exec(ctx, h.sql.register, h.ID(), h.storable(h.cfg.Name), h.info()); err != nil {
		return err
	}
	h.registered, h.next = true, time.Now()
	h.succeeded()
	return nil
}

// info is what the row says beside the position, as JSON.
func (h *heartbeat) info() string {
	text, _ := json.Marshal(map[string]string{"version": h.storable(h.cfg.Version), "state": h.health.current().String()}) // always encodes
	return string(text)
}

// due is when the next beat is due. One on request waits until the position is where the mark that came with the request
// has moved it: before that it would show nothing new.
func (h *heartbeat) due(_ time.Time, st status) time.Time {
	at := h.requested.Add(h.minBeatGap())
	if h.requests.beat.Load() && st.caughtUp && at.Before(h.next) {
		return at
	}
	return h.next
}

// beat writes this pod's row. The answer is a snapshot taken after the beat was sent: when the position has passed it,
// the pod was in sync at that time.
func (h *heartbeat) beat(ctx context.Context, conn *pgx.Conn, _ status) error {
	if h.requests.beat.Swap(false) {
		h.requested = time.Now()
	}
	st := h.applier.status() // from after the request was taken

	var current string
	var identity *string
	var pods int64
	var databaseNow time.Time
	var queueUsage float64
	sent := time.Now()
	h.stats.statements.Add(1)
	err := conn.QueryRow(ctx, h.sql.beat, h.ID(), st.epoch, fmt.Sprint(st.position.Xmax),
		int64(st.position.InProgress), h.info()).Scan(&current, &identity, &pods, &databaseNow, &queueUsage)
	if errors.Is(err, pgx.ErrNoRows) {
		h.log.WarnContext(ctx, "this pod's row is gone: registering again")
		h.registered = false
		return nil
	}
	if err != nil {
		return err
	}
	answered := time.Now()

	h.next = sent.Add(h.cfg.BeatInterval)
	h.pods.Store(pods)
	h.applier.setPodCount(pods)
	h.stats.queue.Store(math.Float64bits(queueUsage))
	h.applier.fresh.offset.Store(int64(databaseNow.Sub(sent.Add(answered.Sub(sent) / 2))))
	h.stats.beats.Add(1)
	h.succeeded()

	answer, err := position.ParseSnapshot(current)
	if err != nil {
		return err
	}
	if identity == nil || !h.applier.beat(epochID(*identity), answer, sent) {
		h.requests.read.Store(true)
		return nil
	}
	h.keep(sent, epochID(*identity), answer)
	if !h.health.isFresh() && h.liveness.canProveByReading(answered) {
		h.requests.read.Store(true) // the first proof need not wait for a mark
	}
	return nil
}
