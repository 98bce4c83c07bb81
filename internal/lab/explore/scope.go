package main

// guards switches off rules. A search without a rule has to find a broken guarantee.
type guards struct {
	announceInvisible   bool // announce before the commit can be seen
	markWithoutFrom     bool // a mark advances a pod from any position
	markWithoutEvents   bool // a mark does not carry the events that it covers
	ignorePruned        bool // read on although what was missed has been deleted
	ignoreEpoch         bool // keep the position although the log is another
	cursorOnly          bool // resume from xmax, ignoring which transactions were in progress
	freshWithoutBeat    bool // whatever arrives proves freshness
	confirmWithoutWait  bool // believe the pods' rows although the log has just begun
	confirmByCount      bool // a pod that beats again has applied everything
	namesOutliveEpoch   bool // an event's name is valid in the next log
	ignorePrepared      bool // the log stays the same when a transaction ends that has survived its event
	keepLoads           bool // a load stores its result although an event overtook it
	keepLoadsOnReset    bool // the same for a reset
	beatOfOtherEpoch    bool // a beat proves freshness although it saw another log
	appliedWhenReceived bool // what waits in a queue counts as applied
}

// publisher says who writes a transaction.
type publisher int8

const (
	foreign publisher = -1 // a client without this library: its event is in the log, but not announced
	alone   publisher = -2 // a process that only publishes: it announces and has no cache
)

// reader is the pod whose cache is checked. The others publish and sweep. The guarantees are about one cache, so more
// caches would multiply the states without finding more.
const reader = 0

// scope bounds a small world: what exists, and how often each thing may happen.
type scope struct {
	name string
	doc  string

	pods    int
	writers []publisher // of each transaction; a number is a pod
	queued  bool        // subscribers handle their queues later
	started bool        // all pods run and are fresh; otherwise they start from nothing
	empty   bool        // the reader's cache is empty at first
	confirm bool        // the first transaction is confirmed
	loses   bool        // publishers may lose the reply to COMMIT

	lateNotes bool // a publisher's goroutine may wait between its commit and what follows

	loads, beats, reads int // of the reader
	ownSweeps           int // of the reader
	sweeps              int // of each other pod
	kills, deaf         int // connections that end, or over which nothing comes any more
	crashes, failovers  int // the log is lost; the last transactions too, and their ids are assigned again
	restarts            int // the log stays
	prepared            int // transactions that survive a crash
	prunes              int
	pauses              int // a pod's proof and its lease expire

	off guards
}
