package bus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// mayProve says whether a difference may stand in for a mark as proof. In mode Listen only just after catching up, or
// it would be polling.
func (c *control) mayProve(now time.Time) bool {
	return c.p.cfg.Mode != Listen || now.Sub(c.upSince) < c.p.cfg.ProbeTimeout
}

// watch decides whether notifications arrive, and with it the state.
func (c *control) watch(now time.Time, st standing) {
	listening := c.p.want.listening.Load()
	switch {
	case listening && c.upSince.IsZero():
		c.upSince, c.lostSince = now, time.Time{}
		c.probe, c.probeSent = !c.deafSince.IsZero(), 0
	case !listening && c.lostSince.IsZero():
		c.upSince, c.lostSince = time.Time{}, now
	}
	if c.p.cfg.Mode != Poll {
		c.watchDeafness(now, st, listening)
	}
	state := Live
	switch {
	case c.polling() && (c.p.cfg.Mode == Poll || !c.deafSince.IsZero() || now.Sub(c.lostSince) > c.p.cfg.ProbeTimeout):
		state = Polling
	case !listening || !c.deafSince.IsZero():
		state = CatchingUp
	}
	c.p.state.Store(int32(state))
	if state != CatchingUp && c.p.Fresh() {
		c.p.setReady()
	}
}

// watchDeafness notices that nothing arrives although the connection stands: a beat was answered, and its proof does not
// come.
func (c *control) watchDeafness(now time.Time, st standing, listening bool) {
	switch {
	case !c.deafSince.IsZero() && c.probeSent != 0 && st.probed == c.probeSent:
		c.deafSince, c.probeSent = time.Time{}, 0
		c.p.log.Info("notifications arrive again")
	case c.deafSince.IsZero() && listening && !st.unproven.IsZero() && now.Sub(st.unproven) > c.p.cfg.ProbeTimeout:
		c.deafSince, c.nextKick = now, now
		c.p.log.Error("notifications do not arrive: is there a pooler in transaction mode, or another server, between?",
			slog.Duration("silent", now.Sub(st.unproven)), slog.String("mode", c.p.cfg.Mode.String()))
	}
	if !c.deafSince.IsZero() && listening && !now.Before(c.nextKick) {
		c.nextKick = now.Add(jittered(2 * c.p.cfg.ProbeTimeout))
		c.listener.kick()
	}
}

// polling says whether the log is read steadily, because notifications do not arrive or are not wanted.
func (c *control) polling() bool {
	switch c.p.cfg.Mode {
	case Poll:
		return true
	case Listen:
		return false
	}
	return !c.deafSince.IsZero() || !c.lostSince.IsZero()
}

// readAt is when the difference is to be read: soon after something may have been missed, and steadily while polling.
func (c *control) readAt(now time.Time) time.Time {
	if c.p.want.gap.Load() || c.polling() {
		return c.nextRead
	}
	return now.Add(time.Hour)
}

// sendProbe sends a message to hear it, and only that one counts: through a pooler a stray notification can arrive now
// and then. A pod that is deaf does not sweep, so if all are, as after the network was away for all, no mark would ever
// tell one of them that it hears again.
func (c *control) sendProbe(ctx context.Context, st standing) error {
	c.probe = false
	if st.codec == nil {
		return nil
	}
	c.probeSent = rand.Uint64() | 1
	_, err := c.p.notify(ctx, c.session.conn, []string{st.codec.Probe(c.probeSent)}, nil)
	return err
}
