package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// sweeper finds, for all pods, the committed events that no pod announced, announces them, and closes with a mark.
// There is no election: whichever live pod's timer fires first sweeps, and as its own marks keep the others' timers from
// firing, it goes on. Two at once are harmless.
type sweeper struct {
	*env
	applier  *applier
	health   *health
	liveness *liveness
	notifier notifier
	reading  sweepReading
	count    func() int64 // pods, as this pod has counted them
	request  *beatRequest // of confirmations: the next mark asks all pods to beat

	since   time.Time // when this pod began to wait for marks
	after   time.Duration
	last    time.Time        // last sweep of this pod
	mark    time.Time        // last mark of this pod
	found   time.Time        // last sweep that found something
	unaware time.Time        // last sweep that found an event without a name, of a writer that announces nothing
	took    [2]time.Duration // the last reads: a long transaction with many events makes each one read them all
}

// quietMark is how often a mark goes out when there is nothing to say: beats are proven by marks.
func (s *sweeper) quietMark() time.Duration {
	return max(s.cfg.SweepInterval, s.cfg.BeatInterval/4)
}

// due is when this pod's turn comes. Only a pod that is live itself may sweep for all.
func (s *sweeper) due(now time.Time, st status) time.Time {
	switch {
	case st.codec == nil || !s.liveness.hears() || !s.health.isFresh():
		return never(now)
	case s.request.pending:
		return s.request.sent.Add(s.minBeatGap())
	case s.requests.sweep.Load():
		return s.soon(st)
	}
	return s.turn(st)
}

// soon is when a sweep comes that was asked for. Who asks often, in however many pods, does not have more sweeps than
// writers that announce nothing have anyway: a mark that was just heard is of a sweeper that comes again.
func (s *sweeper) soon(st status) time.Time {
	gap := max(unawareSweep, time.Duration(s.pods.Load())*turnPerPod)
	last := s.last
	if st.heard.mark.After(last) {
		last = st.heard.mark
	}
	due := last.Add(gap)
	if turn := s.turn(st); turn.Before(due) {
		return turn
	}
	return due
}

// turn is when the timer of this pod fires.
func (s *sweeper) turn(st status) time.Time {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	if st.heard.own {
		return s.last.Add(s.interval(st))
	}

	// Wait until the sweeping pod has missed its turn. The jitter is drawn again after each sweep.
	if s.after == 0 {
		s.after = s.cfg.SweepInterval + rand.N(2*s.cfg.SweepInterval)
	}

	due := s.since.Add(s.after)
	switch {
	case !st.heard.mark.IsZero():
		due = st.heard.mark.Add(s.quietMark() + s.after)
	case s.pods.Load() > 1:
		// As if a mark was heard just before. A new pod is at a position where no other is: its mark would send all of
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
func (s *sweeper) interval(st status) time.Duration {
	return max(st.heard.pace.sweepEvery(time.Now(), s.found, s.unaware), 4*min(s.took[0], s.took[1]))
}

// run sweeps, and with it asks all pods to beat if a confirmation waits for that.
func (s *sweeper) run(ctx context.Context, conn *pgx.Conn, st status) error {
	s.requests.sweep.Store(false) // before it reads: a later request is for the next one
	ask := s.request.pending
	if ask {
		s.request.pending, s.request.sent = false, time.Now()
	}
	behind, err := s.sweep(ctx, conn, st, ask)
	if behind {
		s.requests.read.Store(true)
	}
	return err
}

// sweep reads the difference to the base and sends what no pod announced, then the mark, in one NOTIFY transaction:
// notifications arrive in the order of commits. With ask all pods beat at once when they have applied it. It reports
// whether this pod is behind: it must read the difference for itself first.
func (s *sweeper) sweep(ctx context.Context, conn *pgx.Conn, st status, ask bool) (behind bool, err error) {
	s.last, s.after = time.Now(), 0
	base := s.applier.sweepBase()
	if s.guards.SweepFromOwn {
		base = s.applier.base()
	}

	d, err := s.reading.read(ctx, conn, base)
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

	unannounced := s.applier.unannounced(d.events)
	s.reading.learn(len(unannounced))
	if len(unannounced) > 0 {
		s.found = time.Now()
		if slices.ContainsFunc(unannounced, func(e wire.Event) bool { return !e.HasID }) {
			s.unaware = s.found
		}
	}
	if len(unannounced) == 0 && !ask && time.Since(s.mark) < s.quietMark() {
		return false, nil
	}

	mark := &wire.Mark{From: base.Base.Stamp(), To: d.head.Current.Stamp(), Pods: s.count()}
	if s.guards.SweepFromOwn {
		mark.From = position.Stamp{}
	}
	s.applier.sent(d.head.Current)
	s.mark = time.Now()
	// The events were read from the table, so they are visible: no transaction to wait for.
	if _, err := s.notifier.notify(ctx, conn, st.codec.Pack(unannounced, mark, ask, s.cfg.MaxKeys), nil); err != nil {
		return false, err
	}
	s.stats.marks.Add(1)
	s.stats.swept.Add(int64(len(unannounced)))
	return false, nil
}
