package main

import "github.com/pgcoherence/pgcoherence/internal/lab/leasequeue"

// queueRulesOff switches off rules of the lease queue: those of its statements, and those of its clients.
type queueRulesOff struct {
	model              leasequeue.Rules
	keepCancelled      bool // who gives up does not undo what its last statement did
	deadlineFromResult bool // a lease counts from when its result was received
	keepIncarnation    bool // a promoted standby goes on with its sequence
}

// queueScope bounds a small world of one lease.
type queueScope struct {
	name string
	doc  string

	clients int
	known   bool // the lease's row is there

	ticks, losses, cancels, crashes, replays, failovers, guards int

	off queueRulesOff
}

var queueScopes = []queueScope{
	{name: "queue", doc: "three clients take a lease one after the other", clients: 3, known: true, ticks: 1},
	{name: "queue-guards", doc: "guarded transactions outlive their leases", clients: 2, known: true, ticks: 4, guards: 2},
	{name: "queue-late", doc: "results are lost, and statements arrive late", clients: 2, ticks: 3, losses: 2},
	{name: "queue-cancel", doc: "clients give up while their statements are under way", clients: 3, known: true, ticks: 1, cancels: 2},
	{name: "queue-crash", doc: "clients die", clients: 3, known: true, ticks: 2, crashes: 1},
	{name: "queue-failover", doc: "a standby that lacks the newest grants is promoted", clients: 2, known: true, ticks: 2, guards: 2, replays: 1, failovers: 1},
}

// queueRules are the guards, each with the world in which a search without it finds a broken guarantee.
var queueRules = []struct {
	name  string
	off   queueRulesOff
	scope string
	deep  bool // too many states for a test
}{
	{"a token changes only under a lock that guards keep out", queueRulesOff{model: leasequeue.Rules{UnlockedToken: true}}, "queue-guards", false},
	{"a guard compares the token", queueRulesOff{model: leasequeue.Rules{AnyGuard: true}}, "queue-failover", false},
	{"who enters the queue marks the lease", queueRulesOff{model: leasequeue.Rules{UnmarkedQueue: true}}, "queue", false},
	{"a free lease with a queue is the first waiter's", queueRulesOff{model: leasequeue.Rules{PassQueue: true}}, "queue", false},
	{"a hand-over that is not claimed lapses", queueRulesOff{model: leasequeue.Rules{WaitForLapsed: true}}, "queue-crash", false},
	{"what is given up is undone", queueRulesOff{keepCancelled: true}, "queue-cancel", false},
	{"a lease counts from before its statement was sent", queueRulesOff{deadlineFromResult: true}, "queue-late", false},
	{"another server begins another incarnation", queueRulesOff{keepIncarnation: true}, "queue-failover", false},
}
