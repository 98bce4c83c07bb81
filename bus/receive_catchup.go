package bus

import (
	"log/slog"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// catchUp applies differences that were read from the log. The listener calls it after it has connected, the control
// loop whenever something may have been missed.
type catchUp struct{ *applier }

// apply applies a difference, or resets all subscribers if it cannot be applied.
func (c catchUp) apply(d *difference) {
	switch reason := c.applyLocked(d); reason {
	case "":
		return
	case ReasonStart:
		c.log.Debug("first position")
	default:
		c.log.Warn("all subscribers reset", slog.String("reason", string(reason)))
	}
	c.requests.set(&c.requests.beat) // a reset takes the proof away: seek the next at once
}

func (c catchUp) applyLocked(d *difference) Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.head.BaseOf != d.head.Epoch && c.track.Epoch() == d.head.Epoch {
		return "" // the other connection was first to start in this epoch
	}

	if reason := c.resetReason(d); reason != "" {
		c.reset(d, reason)
		return reason
	}
	c.applyRows(d.events)
	c.track.CaughtUp(d.head.Current)
	c.barrier()
	return ""
}

// resetReason returns why a difference cannot be applied, empty if it can.
func (c catchUp) resetReason(d *difference) Reason {
	reason := Reason(c.track.ResetReason(d.head))
	if c.guards.IgnorePruned && reason == ReasonPruned {
		reason = ""
	}
	if c.guards.IgnoreEpoch && reason == ReasonEpoch {
		c.codec, c.identity, reason = wire.NewCodec(d.head.Epoch, d.secret), d.identity, ""
		c.track.Rename(d.head.Epoch)
	}
	if reason == "" && d.overflow {
		reason = ReasonCatchUp
	}
	return reason
}

// reset distrusts everything and begins at the difference's snapshot. The order matters: no proof is valid while the
// subscribers are reset, and the new position begins after that.
func (c catchUp) reset(d *difference, reason Reason) {
	c.track.Reset()
	c.publish()

	c.stats.resets.Add(1)
	c.stats.lastReset.Store(&reason)
	c.stats.resetLog.note(reason, time.Now())
	c.registry.reset(reason)

	if c.identity != d.identity {
		c.since = time.Now()
	}
	c.codec, c.identity = wire.NewCodec(d.head.Epoch, d.secret), d.identity
	c.track.Start(d.head.Epoch, d.head.Current)
	c.barrier()
}

// applyRows applies events read from the log: those of a topic in few deliveries, so that many missed events do not
// fill a queue that they fit into.
func (c catchUp) applyRows(events []wire.Event) {
	var unknown []wire.Event
	for _, e := range events {
		if !e.HasID || c.track.Known(e.ID) == 0 {
			unknown = append(unknown, e)
		}
	}
	c.stats.caughtUp.Add(int64(len(unknown)))

	topics := make(map[string]*Delivery)
	for _, e := range unknown {
		at := c.fresh.localTime(e.At)
		d := topics[e.Topic]
		if d == nil {
			d = &Delivery{Event: Event{Topic: e.Topic}, CommittedAt: at}
			topics[e.Topic] = d
		}
		d.Keys, d.All = append(d.Keys, e.Keys...), d.All || e.All
		if n := len(d.XIDs); n == 0 || d.XIDs[n-1] != e.ID.XID { // rows of a transaction are neighbours
			d.XIDs = append(d.XIDs, e.ID.XID)
		}
		if at.Before(d.CommittedAt) {
			d.CommittedAt = at
		}
		if len(d.Keys) >= c.cfg.MaxKeys {
			c.deliverTopic(d)
			delete(topics, e.Topic)
		}
	}
	for _, d := range topics {
		c.deliverTopic(d)
	}

	for _, e := range unknown {
		if e.HasID {
			c.track.Remember(e.ID, position.Applied)
		}
	}
}

// deliverTopic delivers what was collected of a topic, unless that is nothing.
func (c catchUp) deliverTopic(d *Delivery) {
	if d.All {
		d.Keys = nil
	}
	if d.All || len(d.Keys) > 0 {
		c.deliverRemote(*d)
	}
}
