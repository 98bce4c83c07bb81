package lock

import "time"

// Stats is a snapshot of what a Locker has done and how it stands. Counts are since New.
type Stats struct {
	Running          bool
	Held             int   // leases renewed at the moment
	Waiting          int   // calls of Acquire that wait
	Incarnation      int   // of the newest token granted here; 0 before the first
	Token            int64 // the newest
	Tries            int64 // statements sent to take a lease
	Claims           int64 // of those, the ones of waiters that were woken
	Handed           int64 // leases handed to the next waiter
	Unpublished      int64 // events that could not be published: waiters found out by themselves
	Raised           int64 // incarnations begun by this process
	Stolen           int64 // leases taken away from their owners by this process
	GuardsRefused    int64
	Heartbeats       int64 // statements that renewed leases
	HeartbeatsFailed int64 // of those, and of those that keep waiters in the queue

	// HeartbeatTook is how long the last renewal of all leases that were due took, in however many statements.
	HeartbeatTook time.Duration
}

// Stats tells what this Locker, and all made of it by With, have done. It asks nobody.
func (l *Locker) Stats() Stats {
	c, m := l.c, l.c.metrics
	s := Stats{
		Token: c.seen.Load(), Tries: m.tries.Load(), Claims: m.claims.Load(), Handed: m.handed.Load(), Unpublished: m.unpublished.Load(), Raised: m.raised.Load(),
		Stolen: m.stolen.Load(), GuardsRefused: m.refused.Load(), Heartbeats: m.beats.Load(), HeartbeatsFailed: m.beatsFailed.Load(),
		HeartbeatTook: time.Duration(m.beatTook.Load()),
	}
	s.Incarnation = Incarnation(s.Token)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Running, s.Held, s.Waiting = c.running, len(c.leases), len(c.waiters)
	return s
}
