package bus

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// proof is when a proven beat was sent. Every hit of a cache asks how long ago that is, so it is there as numbers as well.
type proof struct {
	at      time.Time
	instant elapsed.Instant
}

// publishFresh puts what is proven where no lock is needed to see it.
func (a *applier) publishFresh() {
	t := a.track.FreshAsOf()
	if a.guards.FreshWithoutBeat && a.track.Epoch() != "" {
		t = time.Now()
	}
	if old := a.fresh.Load(); old == nil || !old.at.Equal(t) {
		a.fresh.Store(&proof{at: t, instant: elapsed.At(t)})
	}
	at := place{epoch: a.track.Epoch()}
	at.applied, _ = a.track.Base()
	if told := a.track.Received(); told.InProgress == 0 && told.AtLeast(at.applied.Stamp()) {
		at.applied = position.Snapshot{Xmin: told.Xmax, Xmax: told.Xmax} // such a stamp says it all
	}
	if old := a.place.Load(); old == nil || old.epoch != at.epoch || old.applied.Stamp() != at.applied.Stamp() {
		a.place.Store(&at)
	}
}

// freshAge is how long ago the newest proven beat was sent; the larger of monotonic and wall time, because the
// monotonic clock stands still in a suspended machine. Negative: nothing is proven.
func (a *applier) freshAge() time.Duration { return a.freshAgeAt(elapsed.At(time.Now())) }

func (a *applier) freshAgeAt(now elapsed.Instant) time.Duration {
	proven := a.fresh.Load()
	if proven == nil || proven.at.IsZero() || a.closed.Load() {
		return -1
	}
	return max(now.Since(proven.instant), 0)
}

// localTime turns a time of the database's clock into one of ours.
func (a *applier) localTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).Add(-time.Duration(a.offset.Load()))
}

// databaseTime is the reverse.
func (a *applier) databaseTime(t time.Time) int64 {
	return t.Add(time.Duration(a.offset.Load())).UnixMicro()
}
