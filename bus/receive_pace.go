package bus

import (
	"math"
	"time"
)

// pace decides who announces events: each pod its own at once, or the sweeper those of all.
//
// A NOTIFY wakes every listener. It costs the server about 26 µs for each one over TCP (Postgres 15, 2 processors:
// go run -C internal/lab/bench . fanout, the rows of plain NOTIFY), so what P pods say at once grows with P². Therefore
// every pod counts the announcements that it hears, from all pods. While they are few each pod announces its own
// events. At holdThreshold of them a turn all pods hear it, hold their own events back, and the sweeper reads them from the log
// and carries them once per turn of P·turnPerPod. That is 2000/P NOTIFY a second, about a twentieth of a processor for
// any P, and a delay that grows with P and not with its square. What the sweeper carries counts as the announcements
// that it spares, one for each transaction: so the count is the same in both ways of working and the fleet does not
// swing between them, and a flow that has become thin is announced at once again.
//
// Nothing depends on it but time: a pod that holds an event announces it after all if no sweep has carried it within
// maxHold, and what no pod announces is the sweep's in any case.
//
// The type is a value without pointers or clock; the applier guards the one that hears.
type pace struct {
	announce, sweep time.Duration // Config.AnnounceInterval and SweepInterval
	pods            int64

	rate    float64       // announcements heard or spared a second, as it was at raised
	raised  time.Time     // the last announcement heard
	marked  time.Time     // the last mark heard
	between time.Duration // time between marks: grows at once, shrinks by halves
}

const (
	// turnPerPod makes turns so long that the sweeper's NOTIFY cost a twentieth of a processor.
	turnPerPod = 500 * time.Microsecond
	// holdThreshold is how many announcements a turn make the pods hold theirs back. (Measured with 50 pods, holdThreshold = 0.5: at 30
	// events a second the median delay was 15 ms instead of 3 and the server's processor time 0.10 instead of 0.14; at 60
	// a second both ways cost the server the same.)
	holdThreshold = 2
	// paceMemory is how long an announcement is remembered: the count fades to 1/e in it.
	paceMemory = 200 * time.Millisecond
	// unawareSweep is how often the sweeper looks while writers are at work that announce nothing, and unawareMemory for
	// how long after the last event of one.
	unawareSweep  = 20 * time.Millisecond
	unawareMemory = 10 * time.Second
	// idleTurns is for how many turns the sweeper goes on after it last found something.
	idleTurns = 10
)

// turn is how often the sweeper carries the events of all while they flow. Zero: the pods are so few that a turn would
// be shorter than AnnounceInterval, and they never hold anything back. (By the defaults that is nine pods or fewer. With
// ten and 1,000 events a second, holding took the server 0.36 processors instead of 0.61, at the same 99th percentile.)
func (p pace) turn() time.Duration {
	if t := min(time.Duration(p.pods)*turnPerPod, p.sweep); t >= p.announce {
		return t
	}
	return 0
}

// heard counts announcements, of all pods.
func (p *pace) heard(now time.Time, n int) {
	p.rate, p.raised = p.rateAt(now)+float64(n)/paceMemory.Seconds(), now
}

// mark notes that a sweeper is at work, and how quickly.
func (p *pace) mark(now time.Time) {
	if !p.marked.IsZero() {
		d := now.Sub(p.marked)
		p.between = max(d, (p.between+d)/2)
	}
	p.marked = now
}

func (p pace) rateAt(now time.Time) float64 {
	if p.rate == 0 {
		return 0
	}
	return p.rate * math.Exp(-now.Sub(p.raised).Seconds()/paceMemory.Seconds())
}

// flows reports whether announcements are so many that the sweeper carries them.
func (p pace) flows(now time.Time) bool {
	t := p.turn()
	return t > 0 && p.rateAt(now) > holdThreshold/t.Seconds()
}

// maxHold is how long an event is held at most. Several turns, as the sweeper really makes them: on a server that is
// slow because it has much to do, all pods announcing at once is the last thing that helps. A sweeper that is gone
// delays nothing by more than four SweepIntervals.
func (p pace) maxHold() time.Duration {
	return min(max(4*p.turn(), 3*p.between), 4*p.sweep)
}

// hold is how long a pod holds what it has to announce; zero: it announces now. What is published while the pod holds
// waits for the next hold, so half of maxHold is for each.
func (p pace) hold(now time.Time) time.Duration {
	if !p.flows(now) {
		return 0
	}
	return p.maxHold() / 2
}

// sweepEvery is how often the sweeping pod sweeps. found is when it last found an event, unaware when it last found one of
// a writer that announces nothing, such as a trigger or psql; zero for never.
//
// While such writers are at work only the sweep is quick for them, so it comes more often for as long as they may well go
// on. (Measured with one of them, the median and the 99th percentile from before its COMMIT, in milliseconds: 60 and 100
// before, 12 and 21 so. A sweep costs 0.5 ms of a processor; while there are no such writers it is as rare as before.) Each sweep that
// finds something is one NOTIFY, so its rate is bounded by the number of pods as that of all turns is.
func (p pace) sweepEvery(now, found, unaware time.Time) time.Duration {
	every := p.sweep
	if t := p.turn(); t > 0 && (p.flows(now) || now.Sub(found) < idleTurns*t) {
		every = t
	}
	if !unaware.IsZero() && now.Sub(unaware) < unawareMemory {
		every = min(every, max(unawareSweep, time.Duration(p.pods)*turnPerPod))
	}
	return every
}
