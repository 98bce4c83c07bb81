package bus

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// announcer announces committed events of this pod: the first at once, then at most one NOTIFY per interval, and where the
// sweeper carries them, only what it has not.
type announcer struct {
	*env
	applier  *applier
	health   *health
	notifier notifier
	outbox   *outbox

	epoch   string       // in which what waits was named
	next    time.Time    // earliest next NOTIFY, or how long what is held is left to the sweeper
	unsent  []wire.Event // taken from the outbox, not yet sent
	hidden  []wire.Event // not visible to a NOTIFY statement yet: synchronous replication can hold a commit back
	tries   int
	showAt  time.Time // when to try the hidden again
	waiting int       // tries of the hidden
}

const (
	announceTries = 3
	announceRetry = 20 * time.Millisecond
)

// interval is the least time between two NOTIFY of this pod. One of many that does not hear the others cannot know when
// they hold theirs back; the sweep is as quick for what it does not say meanwhile.
func (a *announcer) interval(st status) time.Duration {
	if a.health.connections() != Live && st.heard.pace.turn() > 0 {
		return max(a.cfg.AnnounceInterval, a.cfg.SweepInterval)
	}
	return a.cfg.AnnounceInterval
}

func (a *announcer) due(now time.Time, st status) time.Time {
	switch {
	case st.codec == nil:
		return never(now)
	case len(a.unsent) > 0 || a.outbox.size() > 0:
		return a.next
	case len(a.hidden) > 0:
		return a.showAt
	}
	return never(now)
}

// run announces what waits, or holds it.
func (a *announcer) run(ctx context.Context, conn *pgx.Conn, st status) error {
	if a.hold(time.Now(), st) {
		return nil
	}
	return a.announce(ctx, conn, st)
}

// hold leaves what waits to the sweeper for a while, unless it has missed some of it already.
func (a *announcer) hold(now time.Time, st status) bool {
	d := st.heard.pace.hold(now)
	if d == 0 {
		return false
	}
	a.enter(st.epoch)
	if a.unsent = a.applier.unannounced(a.unsent); len(a.unsent) > 0 {
		return false
	}
	a.gather(st.epoch)
	a.unsent, a.next = a.applier.unannounced(a.unsent), now.Add(d)
	return true
}

// enter drops what was named in another epoch. Under the present one the same names may be those of other events, which
// no pod would apply if it took them for known. What has really been committed is in the log, and the sweep's.
func (a *announcer) enter(epoch string) {
	if epoch == a.epoch || a.guards.NamesOutliveEpoch {
		return
	}
	a.giveUp(&a.unsent)
	a.giveUp(&a.hidden)
	a.epoch, a.tries, a.waiting = epoch, 0, 0
}

// gather takes what has come since, and what was hidden for long enough.
func (a *announcer) gather(epoch string) {
	a.enter(epoch)
	taken, dropped := a.outbox.take(epoch, a.guards.NamesOutliveEpoch)
	a.stats.dropped.Add(dropped)
	a.unsent = append(a.unsent, taken...)
	if len(a.hidden) > 0 && !time.Now().Before(a.showAt) {
		a.unsent, a.hidden = append(a.unsent, a.hidden...), nil
	}
}

// announce announces all that waits.
func (a *announcer) announce(ctx context.Context, conn *pgx.Conn, st status) error {
	if st.codec == nil {
		return nil
	}
	a.gather(st.epoch)
	// What a sweep has carried meanwhile need not go out again.
	a.unsent = a.applier.unannounced(a.unsent)
	if len(a.unsent) == 0 {
		return nil
	}

	a.next = time.Now().Add(a.interval(st))
	hidden, err := a.notifier.notify(ctx, conn, st.codec.Pack(a.unsent, nil, false, a.cfg.MaxKeys), xids(a.unsent))
	if err != nil {
		a.next = time.Now().Add(announceRetry)
		if a.tries++; a.tries >= announceTries {
			a.giveUp(&a.unsent)
			a.tries = 0
		}
		return err
	}
	a.tries = 0
	if len(hidden) == 0 {
		a.stats.announced.Add(int64(len(a.unsent)))
		a.unsent = nil
		a.waiting = 0
		return nil
	}
	a.setAside(hidden)
	return nil
}

// setAside keeps events that are not visible yet for later and lets the others go ahead of them.
func (a *announcer) setAside(hidden []string) {
	a.next = time.Now()
	a.showAt = time.Now().Add(announceRetry)
	a.unsent = slices.DeleteFunc(a.unsent, func(e wire.Event) bool {
		if !slices.Contains(hidden, strconv.FormatUint(e.ID.XID, 10)) {
			return false
		}
		a.hidden = append(a.hidden, e)
		return true
	})
	if a.waiting++; a.waiting >= announceTries {
		a.waiting = 0
		a.giveUp(&a.hidden)
	}
}

// giveUp leaves events to the sweep.
func (a *announcer) giveUp(events *[]wire.Event) {
	a.stats.dropped.Add(int64(len(*events)))
	*events = nil
}

func xids(events []wire.Event) []string {
	out := make([]string, 0, len(events))
	for i, e := range events {
		if e.HasID && (i == 0 || e.ID.XID != events[i-1].ID.XID) {
			out = append(out, strconv.FormatUint(e.ID.XID, 10))
		}
	}
	return out
}
