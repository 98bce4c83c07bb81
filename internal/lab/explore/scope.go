package main

// guards are the rules that keep the guarantees. A search with one of them off must find why it is there.
type guards struct {
	announceInvisible   bool // announce before the commit can be seen
	markWithoutFrom     bool // a mark counts from wherever a pod stands
	markWithoutEvents   bool // a mark does not carry the events that it covers
	ignorePruned        bool // read on although what was missed has been deleted
	ignoreEpoch         bool // keep the position although the log is another
	cursorOnly          bool // resume from xmax, forgetting which transactions were in progress
	freshWithoutBeat    bool // whatever arrives proves freshness
	confirmWithoutWait  bool // believe the pods' rows although the log has just begun
	confirmByCount      bool // a pod that beats again has applied everything
	namesOutliveEpoch   bool // an event's name counts in the next log
	ignorePrepared      bool // the log stays the same when a transaction ends that has survived its event
	keepLoads           bool // a load stores what it read although an event has passed it
	keepLoadsOnReset    bool // the same for a reset
	beatOfOtherEpoch    bool // a beat proves freshness although it saw another log
	appliedWhenReceived bool // what waits in a queue counts as applied
}

// publisher says who writes a transaction.
type publisher int8

const (
	foreign publisher = -1 // a client that knows nothing of us: its event is in the log and nobody announces it
	alone   publisher = -2 // a process that only publishes: it announces, and has no cache
)

// reader is the pod whose cache is watched. The others publish and sweep: guarantees are those of one cache, so other
// caches would multiply the states and show nothing new.
const reader = 0

// scope bounds a small world: what exists, and how often each thing may happen.
type scope struct {
	name string
	doc  string

	pods    int
	writers []publisher // of each transaction; a number is a pod
	queued  bool        // subscribers work off their queues later
	started bool        // all pods have begun and have proven what they hold; otherwise they start from nothing
	empty   bool        // the reader holds nothing yet
	confirm bool        // the first transaction is confirmed
	loses   bool        // publishers may lose the answer to their commit

	lateNotes bool // a publisher's goroutine may wait between its commit and what follows

	loads, beats, reads int // of the reader
	ownSweeps           int // of the reader
	sweeps              int // of each other pod
	kills, deaf         int // connections that end, or over which nothing comes any more
	crashes, failovers  int // the log is gone; the last transactions too, and their ids are given again
	restarts            int // the log stays
	prepared            int // transactions that survive a crash
	prunes              int
	pauses              int // a pod's trust runs out, and its lease with it

	off guards
}
