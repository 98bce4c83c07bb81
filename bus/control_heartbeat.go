package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	succeeded func() // the connection has served to prove that this pod is in sync
	keep      func(at time.Time, epoch string, s position.Snapshot)

	started    time.Time
	registered bool
	place      *string // where the last beat has left the row; nil: not known
	misfit     bool    // this pod does not keep to the pod lease, and has said so
	next       time.Time
	session    time.Time // when it began
	requested  time.Time // last beat on request: requests are coalesced
}

// connected begins a new session: the pod's row may be gone.
func (h *heartbeat) connected(now time.Time) { h.registered, h.next, h.session = false, now, now }

func (h *heartbeat) registerDue(now time.Time, _ status) time.Time {
	if h.registered {
		return never(now)
	}
	return now
}

// register commits this pod's row: a pod trusts nothing before.
func (h *heartbeat) register(ctx context.Context, conn *pgx.Conn, _ status) error {
	h.stats.statements.Add(1)
	var others int64
	err := conn.QueryRow(ctx, h.sql.register, h.ID(), h.storable(h.cfg.Name), h.info(), h.lease.trusts().Milliseconds(),
		h.lease.get().Milliseconds()).Scan(&others)
	if err != nil {
		return err
	}
	h.registered, h.next, h.place = true, time.Now(), nil
	h.setPods(others + 1)
	return nil
}

// setPods notes how many pods there are, this one included.
func (h *heartbeat) setPods(n int64) {
	h.pods.Store(n)
	h.applier.setPodCount(n)
}

// info is what the row says beside the position, as JSON.
func (h *heartbeat) info() string {
	text, _ := json.Marshal(map[string]string{"version": h.storable(h.cfg.Version), "state": h.health.current().String()}) // always encodes
	return string(text)
}

// due is when the next beat is due. One on request waits until the position is where the mark that came with the request
// has moved it, or the read that this mark has made necessary: before that it would show nothing new.
func (h *heartbeat) due(_ time.Time, st status) time.Time {
	at := h.requested.Add(h.minBeatGap())
	if h.requests.beat.Load() && !h.requests.read.Load() && st.caughtUp && at.Before(h.next) {
		return at
	}
	return h.next
}

// beat writes this pod's row. The statement returns a snapshot taken after the beat was sent: when the position has passed it,
// the pod was in sync at that time.
func (h *heartbeat) beat(ctx context.Context, conn *pgx.Conn, _ status) error {
	if h.requests.beat.Swap(false) {
		h.requested = time.Now()
	}
	st := h.applier.status() // from after the request was taken

	var current string
	var identity, place *string
	var databaseNow int64 // in microseconds
	var queueUsage float64
	var allowed *int64
	var wait int64
	sent := time.Now()
	watched := st.watched(sent)
	if h.guards.VouchByUptime {
		watched = sent.Sub(h.started)
	}
	h.stats.statements.Add(1)
	err := conn.QueryRow(ctx, h.sql.beat, h.ID(), st.epoch, fmt.Sprint(st.position.Xmax), int64(st.position.InProgress),
		h.info(), watched.Milliseconds(), h.lease.trusts().Milliseconds(), h.lease.get().Milliseconds(), h.place).
		Scan(&current, &identity, &place, &databaseNow, &queueUsage, &allowed, &wait)
	if errors.Is(err, pgx.ErrNoRows) {
		if h.place != nil { // VACUUM FULL moves rows: look for it by its id, at once
			h.place = nil
			h.requests.beat.Store(true)
			h.next = time.Now()
			return nil
		}
		h.log.WarnContext(ctx, "this pod's row is gone: registering again")
		h.registered = false
		return nil
	}
	if err != nil {
		return err
	}
	answered := time.Now()

	h.next, h.place = sent.Add(h.cfg.BeatInterval), place
	h.checkLease(ctx, allowed, wait)
	h.stats.queue.Store(math.Float64bits(queueUsage))
	h.applier.fresh.offset.Store(int64(time.UnixMicro(databaseNow).Sub(sent.Add(answered.Sub(sent) / 2))))
	h.stats.beats.Add(1)
	if h.applier.fresh.provenSince(h.session) {
		h.succeeded()
	}

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

// checkLease notes the pod lease as it is now. Whatever it was set to, Confirm waits for what pods say that they
// need; but a pod that needs more than it should has to be put right.
func (h *heartbeat) checkLease(ctx context.Context, allowed *int64, wait int64) {
	lease := milliseconds(wait)
	if allowed != nil {
		lease = milliseconds(*allowed)
	}
	err := h.lease.set(lease, milliseconds(wait))
	if err != nil && !h.misfit {
		h.log.ErrorContext(ctx, "this pod trusts its caches for longer than the pod lease allows: confirmations wait for it; "+
			"restart it with a shorter StaleAfter, or raise the lease with SetPodLease", slog.Any("error", err))
	}
	h.misfit = err != nil
}
