package bus

import (
	"slices"
	"sync"
	"time"
)

// ResetRecord is one reset of all subscribers.
type ResetRecord struct {
	At     time.Time
	Reason Reason
}

// keptResets is how many of the last resets are remembered.
const keptResets = 16

// resetReasons are those for which all subscribers are reset; one alone is for ReasonOverflow and ReasonPanic.
var resetReasons = [...]Reason{ReasonStart, ReasonEpoch, ReasonPruned, ReasonRewound, ReasonCatchUp}

// resetLog remembers resets: how many for each reason, and the last ones.
type resetLog struct {
	mu     sync.Mutex
	counts [len(resetReasons)]int64
	last   []ResetRecord // oldest first
}

func (l *resetLog) note(r Reason, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(resetReasons[:], r); i >= 0 {
		l.counts[i]++
	}
	if len(l.last) == keptResets {
		l.last = append(l.last[:0], l.last[1:]...)
	}
	l.last = append(l.last, ResetRecord{at, r})
}

// since returns how many of the last resets came after t, the first position not counted.
func (l *resetLog) since(t time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.last {
		if r.Reason != ReasonStart && r.At.After(t) {
			n++
		}
	}
	return n
}

func (l *resetLog) recent() []ResetRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := slices.Clone(l.last)
	slices.Reverse(newest)
	return newest
}

func (l *resetLog) byReason() map[Reason]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[Reason]int64, len(resetReasons))
	for i, r := range resetReasons {
		counts[r] = l.counts[i]
	}
	return counts
}
