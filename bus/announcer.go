package bus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// announcer tells the other pods of committed events: the first at once, then at most one NOTIFY per interval, and where
// the sweeper carries them, only what it has not.
type announcer struct {
	p       *Postgres
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
func (a *announcer) interval(st standing) time.Duration {
	if State(a.p.state.Load()) != Live && st.pace.turn() > 0 {
		return max(a.p.cfg.AnnounceInterval, a.p.cfg.SweepInterval)
	}
	return a.p.cfg.AnnounceInterval
}

func (a *announcer) due(now time.Time, st standing) time.Time {
	never := now.Add(time.Hour)
	if st.codec == nil {
		return never
	}
	if len(a.unsent) > 0 || a.p.outbox.size() > 0 {
		return a.next
	}
	if len(a.hidden) > 0 {
		return a.showAt
	}
	return never
}

// step announces what waits, or holds it.
func (a *announcer) step(ctx context.Context, conn *pgx.Conn, st standing) error {
	if a.hold(time.Now(), st) {
		return nil
	}
	return a.announce(ctx, conn, st)
}

// hold leaves what waits to the sweeper for a while, unless it has left some of it lying already.
func (a *announcer) hold(now time.Time, st standing) bool {
	d := st.pace.hold(now)
	if d == 0 {
		return false
	}
	if a.unsent = a.p.applier.unannounced(a.unsent); len(a.unsent) > 0 {
		return false
	}
	a.gather()
	a.unsent, a.next = a.p.applier.unannounced(a.unsent), now.Add(d)
	return true
}

// gather takes what has come since, and what was hidden for long enough.
func (a *announcer) gather() {
	taken, dropped := a.p.outbox.take()
	a.p.stats.dropped.Add(dropped)
	a.unsent = append(a.unsent, taken...)
	if len(a.hidden) > 0 && !time.Now().Before(a.showAt) {
		a.unsent, a.hidden = append(a.unsent, a.hidden...), nil
	}
}

// announce announces all that waits.
func (a *announcer) announce(ctx context.Context, conn *pgx.Conn, st standing) error {
	a.gather()
	// What a sweep has carried meanwhile need not go out again.
	a.unsent = a.p.applier.unannounced(a.unsent)
	if len(a.unsent) == 0 || st.codec == nil {
		return nil
	}
	a.next = time.Now().Add(a.interval(st))
	hidden, err := a.p.notify(ctx, conn, st.codec.Pack(a.unsent, nil, false, a.p.cfg.MaxKeys), xids(a.unsent))
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
		a.p.stats.announced.Add(int64(len(a.unsent)))
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
	a.p.stats.dropped.Add(int64(len(*events)))
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

// notify sends payloads in one transaction of nothing but NOTIFY, which has nothing to flush. If its snapshot does not
// see one of the transactions, it sends nothing and answers which.
func (p *Postgres) notify(ctx context.Context, db PgxExecer, payloads, transactions []string) (hidden []string, err error) {
	if len(payloads) == 0 {
		return nil, nil
	}
	if p.guards.AnnounceEarly {
		transactions = nil
	}
	p.stats.statements.Add(1)
	var sent int
	if err := db.QueryRow(ctx, p.sql.notify, p.channel(), payloads, transactions).Scan(&hidden, &sent); err != nil {
		return nil, fmt.Errorf("bus: notify: %w", err)
	}
	if len(hidden) == 0 && sent != len(payloads) {
		return nil, fmt.Errorf("bus: notify: %d of %d payloads sent", sent, len(payloads))
	}
	if len(hidden) == 0 {
		p.stats.notifies.Add(1)
	}
	return hidden, nil
}
