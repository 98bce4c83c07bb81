package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// sweeper finds, for all pods, the committed events that nobody announced, announces them, and closes with a mark.
// Nobody is elected: whichever live pod's timer fires first sweeps, and as its own marks keep the others' timers from
// firing, it goes on. Two at once are harmless.
type sweeper struct {
	p     *Postgres
	since time.Time // when this pod began to wait for marks
	after time.Duration
	last  time.Time        // last sweep of this pod
	mark  time.Time        // last mark of this pod
	found time.Time        // last sweep that found something
	took  [2]time.Duration // the last reads: a long transaction with many events makes each one read them all
}

// quietMark is how often a mark goes out when there is nothing to say: beats are proven by marks.
func (s *sweeper) quietMark() time.Duration {
	return max(s.p.cfg.SweepInterval, s.p.cfg.BeatInterval/4)
}

// mine says whether this pod is the one that sweeps.
func (s *sweeper) mine(st standing) bool { return st.sweeping }

// due is when this pod's turn comes.
func (s *sweeper) due(st standing) time.Time {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	if st.sweeping {
		return s.last.Add(s.interval(st))
	}
	// Wait until the sweeping pod has missed its turn. The jitter is drawn anew after each sweep.
	if s.after == 0 {
		s.after = s.p.cfg.SweepInterval + rand.N(2*s.p.cfg.SweepInterval)
	}
	due := s.since.Add(s.after)
	switch {
	case !st.heard.IsZero():
		due = st.heard.Add(s.quietMark() + s.after)
	case s.p.pods.Load() > 1:
		// As if a mark was heard just before. A pod that is new stands where no other does: its mark would send all of
		// them to the log.
		due = due.Add(s.quietMark())
	}
	if again := s.last.Add(s.quietMark()); due.Before(again) {
		return again // the own mark is still on its way
	}
	return due
}

// interval is how often the sweeping pod sweeps; at most a quarter of the time is spent reading. One slow read alone is a
// busy machine's, and waiting four times as long would only add to the delay.
func (s *sweeper) interval(st standing) time.Duration {
	return max(st.pace.sweepEvery(time.Now(), s.found), 4*min(s.took[0], s.took[1]))
}

// sweep reads the difference to the base and sends what nobody announced, then the mark, in one NOTIFY transaction:
// notifications arrive in the order of commits. With ask all pods beat at once when they have applied it. It answers
// true if this pod must read the difference for itself first.
func (s *sweeper) sweep(ctx context.Context, conn *pgx.Conn, st standing, ask bool) (again bool, err error) {
	s.last, s.after = time.Now(), 0
	base := s.p.applier.sweepBase()
	if s.p.guards.SweepFromOwn {
		base = s.p.applier.base()
	}
	s.p.stats.sweeps.Add(1)
	d, err := s.p.queryDifference(ctx, conn, s.p.sql.difference, base, false)
	if err == nil && d.overflow {
		// Too much to be said event by event: say it topic by topic.
		d, err = s.p.queryDifference(ctx, conn, s.p.sql.differenceTopics, base, false)
	}
	s.took[0], s.took[1] = s.took[1], time.Since(s.last)
	if errors.Is(err, errNoEpoch) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if d.head.Epoch != st.epoch || base.BaseOf != st.epoch || !base.Base.Stamp().AtLeast(d.head.PrunedTo.Stamp()) {
		return true, nil
	}
	rest := s.p.applier.unannounced(d.events)
	if len(rest) > 0 {
		s.found = time.Now()
	}
	if len(rest) == 0 && !ask && time.Since(s.mark) < s.quietMark() {
		return false, nil
	}
	mark := &wire.Mark{From: base.Base.Stamp(), To: d.head.Current.Stamp()}
	if s.p.guards.SweepFromOwn {
		mark.From = position.Stamp{}
	}
	s.p.applier.sent(d.head.Current)
	s.mark = time.Now()
	// The events were read from the table, so they are visible: no transaction to wait for.
	if _, err := s.p.notify(ctx, conn, st.codec.Pack(rest, mark, ask, s.p.cfg.MaxKeys), nil); err != nil {
		return false, err
	}
	s.p.stats.marks.Add(1)
	s.p.stats.swept.Add(int64(len(rest)))
	return false, nil
}
