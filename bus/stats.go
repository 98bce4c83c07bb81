package bus

import (
	"math"
	"sync/atomic"
	"time"
)

// Stats is a snapshot of the counts and the state of a bus. Counts start at zero when the bus is made.
type Stats struct {
	State      State
	Epoch      string        // short form of the log's epoch, "" if not known
	FreshAge   time.Duration // since the newest proven beat was sent; negative without a proof
	Pods       int           // pods of this schema, as of the last beat
	Pending    int           // events waiting to be announced
	LastError  string        // of connecting or of a statement; "" after a success
	Published  int64         // events published through this bus
	Announced  int64         // events this pod announced after its own commits
	Swept      int64         // unannounced events of all pods that this pod's sweeps found and announced
	Received   int64         // events received as notifications
	CaughtUp   int64         // events read from the log
	Notifies   int64         // NOTIFY statements sent
	Marks      int64         // marks sent
	Sweeps     int64         // sweep reads
	Beats      int64         // beats that returned
	Gaps       int64         // reads of the difference because events may have been missed
	Polls      int64         // reads of the difference because notifications do not arrive
	Reconnects int64         // connections made after the first, of both kinds
	Resets     int64         // resets of all subscribers
	Overflows  int64         // queues that were full and became a reset
	Panics     int64         // panics of subscribers
	Malformed  int64         // payloads on the channel that this library did not write
	Forged     int64         // payloads of this epoch with a wrong authentication code
	Unknown    int64         // payloads of another version or epoch
	Unreadable int64         // invalid events in the log: bad keys count as the whole topic, a bad topic or transaction id is ignored
	Dropped    int64         // own announcements left to the sweep
	Pruned     int64         // events deleted from the log
	Reaped     int64         // rows of dead pods deleted
	Uncertain  int64         // commits whose outcome is unknown
	Statements int64         // statements sent on the bus' own connections
	// Transitions counts changes of State.
	Transitions int64
	LastReset   Reason // "" if there was none
	// QueueUsage is the fill level of the server's notification queue at the last beat, from 0 to 1.
	QueueUsage float64
	// LogRows is the approximate number of events in the log, and LogOldest the age of the oldest. The pod that
	// sweeps measures them several times per Retention/15. On other pods, and before the first measurement, both are
	// negative.
	LogRows   int64
	LogOldest time.Duration
}

// logSize is how much the log held at a time.
type logSize struct {
	at     time.Time
	rows   int64
	oldest time.Duration
}

// maxLogSizeAge is how old a measurement may be: a pod that ceases to sweep measures no more.
const maxLogSizeAge = 5 * time.Minute

// counters are the moving parts of Stats.
type counters struct {
	published, announced, swept, received, caughtUp, notifies, marks, sweeps, beats, gaps, polls, reconnects, resets,
	overflows, panics, malformed, forged, unknown, unreadable, dropped, pruned, reaped, uncertain, statements, transitions atomic.Int64
	lastReset atomic.Pointer[Reason]
	resetLog  resetLog
	delays    delays
	queue     atomic.Uint64 // bits of the float: how full the notification queue is
	lastError atomic.Pointer[string]
	log       atomic.Pointer[logSize]
}

func (c *counters) snapshot() Stats {
	s := Stats{
		Published: c.published.Load(), Announced: c.announced.Load(), Swept: c.swept.Load(), Received: c.received.Load(),
		CaughtUp: c.caughtUp.Load(), Notifies: c.notifies.Load(), Marks: c.marks.Load(), Sweeps: c.sweeps.Load(),
		Beats: c.beats.Load(), Gaps: c.gaps.Load(), Polls: c.polls.Load(), Reconnects: c.reconnects.Load(),
		Resets: c.resets.Load(), Overflows: c.overflows.Load(), Panics: c.panics.Load(), Malformed: c.malformed.Load(),
		Forged: c.forged.Load(), Unknown: c.unknown.Load(), Unreadable: c.unreadable.Load(), Dropped: c.dropped.Load(), Pruned: c.pruned.Load(),
		Reaped: c.reaped.Load(), Uncertain: c.uncertain.Load(), Statements: c.statements.Load(),
		Transitions: c.transitions.Load(), FreshAge: -1, LogRows: -1, LogOldest: -1, QueueUsage: math.Float64frombits(c.queue.Load()),
	}
	if size := c.log.Load(); size != nil && time.Since(size.at) < maxLogSizeAge {
		s.LogRows, s.LogOldest = size.rows, size.oldest+time.Since(size.at)
		if size.oldest == 0 { // nothing is in it
			s.LogOldest = 0
		}
	}

	if r := c.lastReset.Load(); r != nil {
		s.LastReset = *r
	}
	if e := c.lastError.Load(); e != nil {
		s.LastError = *e
	}

	return s
}

func (c *counters) setError(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.lastError.Store(&text)
}
