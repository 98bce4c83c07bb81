package bus

import (
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// freshness is what is proven, and how far everything is applied, for readers that take no lock: every hit of a cache
// asks for it. The applier writes it under its own lock.
type freshness struct {
	proven atomic.Pointer[proof] // the newest proven beat
	place  atomic.Pointer[place] // what our own caches know of the position
	offset atomic.Int64          // the database's clock minus ours, nanoseconds
	closed atomic.Bool           // nothing is trusted any more
}

// proof is when a proven beat was sent, as a time and as the number that hits of a cache compare.
type proof struct {
	at      time.Time
	instant elapsed.Instant
}

// place is a position for readers that must not wait for the applier's lock.
type place struct {
	epoch   string
	applied position.Snapshot
}

// publish makes visible what a tracker knows. The caller holds the applier's lock.
func (f *freshness) publish(track *position.Tracker, proven time.Time) {
	if old := f.proven.Load(); old == nil || !old.at.Equal(proven) {
		f.proven.Store(&proof{at: proven, instant: elapsed.At(proven)})
	}

	at := place{epoch: track.Epoch()}
	at.applied, _ = track.Base()
	if received := track.Received(); received.InProgress == 0 && received.AtLeast(at.applied.Stamp()) {
		at.applied = position.Snapshot{Xmin: received.Xmax, Xmax: received.Xmax} // with nothing in progress the stamp is the snapshot
	}
	if old := f.place.Load(); old == nil || old.epoch != at.epoch || old.applied.Stamp() != at.applied.Stamp() {
		f.place.Store(&at)
	}
}

// provenSince reports whether a beat that was sent after t is proven.
func (f *freshness) provenSince(t time.Time) bool {
	proven := f.proven.Load()
	return proven != nil && proven.at.After(t)
}

// age is how long ago the newest proven beat was sent; negative if nothing is proven.
func (f *freshness) age() time.Duration { return f.ageAt(elapsed.At(time.Now())) }

// ageAt is age at an instant that the caller has just read. It is the larger of monotonic and wall time, because the
// monotonic clock stands still in a suspended machine.
func (f *freshness) ageAt(now elapsed.Instant) time.Duration {
	proven := f.proven.Load()
	if proven == nil || proven.at.IsZero() || f.closed.Load() {
		return -1
	}
	return max(now.Since(proven.instant), 0)
}

// localTime converts a time of the database's clock, in microseconds, into one of ours. 0 is the zero time.
func (f *freshness) localTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).Add(-time.Duration(f.offset.Load()))
}

// databaseTime converts the other way.
func (f *freshness) databaseTime(t time.Time) int64 {
	return t.Add(time.Duration(f.offset.Load())).UnixMicro()
}
