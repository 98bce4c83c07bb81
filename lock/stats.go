package lock

import "time"

// Stats is a snapshot of the counts and the state of a Locker. Counts start at zero when it is made.
type Stats struct {
	Running          bool
	Held             int   // leases that are being renewed, including shared ones and places of semaphores
	HeldShared       int   // of those, shared leases
	HeldPlaces       int   // of those, places of semaphores
	Waiting          int   // calls of Acquire that wait
	Incarnation      int   // of the newest token granted here; 0 before the first
	Token            int64 // the newest
	Tries            int64 // statements sent to take a lease
	Claims           int64 // of those, claims of woken waiters
	Handed           int64 // leases granted to the next waiter by a release
	Unpublished      int64 // events that could not be published; the waiters polled instead
	Raised           int64 // incarnations begun by this process
	Stolen           int64 // leases taken away from their owners by this process
	TakenOver        int64 // leases taken over here from processes whose sessions had ended
	SessionsLost     int64 // broken sessions of this process; see Config.TakeoverAfter
	GuardsRefused    int64
	Heartbeats       int64 // statements that renew leases
	HeartbeatsFailed int64 // failed statements that renew leases or waiters

	// HeartbeatTook is how long the last renewal of all due leases took, over all its statements.
	HeartbeatTook time.Duration
}

// Stats returns the counts of this Locker and of all that With derived from it. It does no I/O.
func (l *Locker) Stats() Stats {
	c, m := l.c, l.c.metrics
	s := Stats{
		Token: c.seen.Load(), Tries: m.tries.Load(), Claims: m.claims.Load(), Handed: m.handed.Load(), Unpublished: m.unpublished.Load(), Raised: m.raised.Load(),
		Stolen: m.stolen.Load(), GuardsRefused: m.refused.Load(), Heartbeats: m.beats.Load(), HeartbeatsFailed: m.beatsFailed.Load(),
		HeartbeatTook: time.Duration(m.beatTook.Load()), TakenOver: m.takenOver.Load(), SessionsLost: m.sessionsLost.Load(),
	}

	s.Incarnation = Incarnation(s.Token)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Running, s.Held, s.Waiting = c.running, len(c.leases), len(c.waiters)

	for l := range c.leases {
		switch {
		case l.share == nil:
		case l.share.limit == 0:
			s.HeldShared++
		default:
			s.HeldPlaces++
		}
	}

	return s
}
