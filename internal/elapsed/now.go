package elapsed

import (
	"sync/atomic"
	"time"
)

// Instant is a reading of both clocks, for those who ask so often that the clock is most of what they do. Only those of
// one process compare.
type Instant struct{ mono, wall int64 }

// since is where monotonic time begins; in a test's bubble that is another one, and so is the time since then.
var since = time.Now()

// At is the instant of a time.
func At(t time.Time) Instant { return Instant{int64(t.Sub(since)), t.UnixNano()} }

// Since is how much time has passed since another instant, as Between has it.
func (i Instant) Since(then Instant) time.Duration {
	return time.Duration(max(i.mono-then.mono, i.wall-then.wall))
}

// wallEvery is how long the wall clock is taken to run as the monotonic one does.
const wallEvery = int64(time.Millisecond)

// read is the newest reading of the wall clock.
var read atomic.Pointer[Instant]

// Now is the present instant. It reads the wall clock once per millisecond of monotonic time, and adds up between, which
// is half the price. So it takes a millisecond of running time until a machine is found to have been suspended.
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
