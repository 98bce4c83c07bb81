package elapsed

import (
	"sync/atomic"
	"time"
)

// Instant is a reading of both clocks, for hot paths in which reading the clock is most of the work. Instants of
// different processes cannot be compared.
type Instant struct{ mono, wall int64 }

// since is the origin of monotonic time. In a synctest bubble it is in another time, and so are all instants.
var since = time.Now()

// At returns the instant of a time.
func At(t time.Time) Instant { return Instant{int64(t.Sub(since)), t.UnixNano()} }

// Since returns the time since another instant, like Between.
func (i Instant) Since(then Instant) time.Duration {
	return time.Duration(max(i.mono-then.mono, i.wall-then.wall))
}

// wallEvery is how long the wall clock is assumed to run like the monotonic one.
const wallEvery = int64(time.Millisecond)

// read is the newest reading of the wall clock.
var read atomic.Pointer[Instant]

// Now returns the current instant. It reads the wall clock once per millisecond of monotonic time and extrapolates in
// between, at half the cost. So it notices a suspension of the machine after up to a millisecond of running time.
func Now() Instant {
	mono := int64(time.Since(since))
	if last := read.Load(); last != nil {
		if d := mono - last.mono; d >= 0 && d < wallEvery {
			return Instant{mono, last.wall + d}
		}
	}
	now := At(time.Now())
	read.Store(&now)
	return now
}
