package bus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// liveness decides whether notifications arrive, and with it the state of the bus and whether the log is polled.
type liveness struct {
	*env
	health    *health
	notifier  notifier
	reconnect func() // ends the listening connection, so that a new one is made

	silentSince   time.Time // notifications do not arrive; zero: they do
	lostSince     time.Time // the listening connection is down; zero: it is not
	connection    uint64    // the number of the one that is up; 0: none
	upSince       time.Time // it is up and has caught up; zero: it does not
	nextReconnect time.Time
	readFailures  int    // reads of the difference in a row that failed
	probe         bool   // send a message to hear it
	probeSent     uint64 // its number; 0: none is on its way
}

// observe updates what is known from the listener's state and the applier's.
func (l *liveness) observe(now time.Time, st status) {
	number := l.requests.listening.Load()
	listening := number != 0
	switch {
	case listening && l.connection != number: // it may have come up since the last look
		l.connection, l.upSince, l.lostSince = number, now, time.Time{}
		if !l.silentSince.IsZero() {
			l.probe, l.probeSent = true, 0
			l.giveTime(now)
		}
	case !listening && l.lostSince.IsZero():
		l.connection, l.upSince, l.lostSince = 0, time.Time{}, now
	}
	if l.cfg.Mode != Poll {
		l.checkSilence(now, st, listening)
	}

	state := Live
	switch {
	case l.polling() && (l.cfg.Mode == Poll || !l.silentSince.IsZero() || now.Sub(l.lostSince) > l.cfg.ProbeTimeout):
		state = Polling
	case !listening || !l.silentSince.IsZero():
		state = CatchingUp
	}
	if l.looping(now) {
		state = CatchingUp
	}
	l.health.set(state)
	if state != CatchingUp && l.health.isFresh() {
		l.health.setReady()
	}
}

// looping reports whether the bus only seems to work: it resets again and again, or cannot read the log.
func (l *liveness) looping(now time.Time) bool {
	return l.readFailures >= failuresInLoop || l.stats.resetLog.since(now.Add(-loopTime)) >= resetsInLoop
}

const (
	failuresInLoop = 3
	resetsInLoop   = 4
	loopTime       = 10 * time.Second
)

// checkSilence notices that nothing arrives although the connection is up: a beat succeeded, and its proof does not
// come.
func (l *liveness) checkSilence(now time.Time, st status, listening bool) {
	switch {
	case !l.silentSince.IsZero() && l.probeSent != 0 && st.heard.probe == l.probeSent:
		l.silentSince, l.probeSent = time.Time{}, 0
		l.log.Info("notifications arrive again")
	case l.silentSince.IsZero() && listening && !st.unproven.IsZero() && now.Sub(st.unproven) > l.cfg.ProbeTimeout:
		l.silentSince, l.nextReconnect = now, now // this connection has had its time
		l.log.Error("notifications not received; possible transaction-mode pooler, or another server, in between",
			slog.Duration("silent", now.Sub(st.unproven)), slog.String("mode", l.cfg.Mode.String()))
	}

	if !l.silentSince.IsZero() && listening && !now.Before(l.nextReconnect) {
		l.giveTime(now)
		l.reconnect()
	}
}

// giveTime gives the next connection, or one that has just come up, time to be heard through before it is ended as well:
// however long it took to be made.
func (l *liveness) giveTime(now time.Time) {
	l.nextReconnect = now.Add(jittered(2 * l.cfg.ProbeTimeout))
}

// hears reports whether notifications are known to arrive.
func (l *liveness) hears() bool { return l.silentSince.IsZero() && l.requests.listening.Load() != 0 }

// polling reports whether the log is read steadily, because notifications do not arrive or are not wanted.
func (l *liveness) polling() bool {
	switch l.cfg.Mode {
	case Poll:
		return true
	case Listen:
		return false
	}
	return !l.silentSince.IsZero() || !l.lostSince.IsZero()
}

// cleansUp reports whether this pod prunes and reaps: the one that sweeps, and every one that polls, because where no
// pod listens none sweeps.
func (l *liveness) cleansUp(st status) bool { return st.heard.own || l.polling() }

// canProveByReading reports whether a difference may take the place of a mark as proof. In mode Listen that is so only
// just after catching up, or it would be polling.
func (l *liveness) canProveByReading(now time.Time) bool {
	return l.cfg.Mode != Listen || now.Sub(l.upSince) < l.cfg.ProbeTimeout
}

func (l *liveness) probeDue(now time.Time, _ status) time.Time {
	if l.probe {
		return now
	}
	return never(now)
}

// sendProbe sends a message to hear it, and only that one counts: through a pooler a stray notification can arrive now
// and then. A silent pod does not sweep, so if all are silent, as after the network was away for all, no mark would ever
// show one of them that it hears again.
func (l *liveness) sendProbe(ctx context.Context, conn *pgx.Conn, st status) error {
	l.probe = false
	if st.codec == nil {
		return nil
	}
	l.probeSent = rand.Uint64() | 1
	_, err := l.notifier.notify(ctx, conn, []string{st.codec.Probe(l.probeSent)}, nil)
	return err
}
