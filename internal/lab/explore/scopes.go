package main

// scopes are the worlds that are searched. Each contains what one group of rules is for, and little more.
var scopes = []scope{
	{
		name: "announcements", doc: "a pod and a foreign client write, a connection ends",
		pods: 2, writers: []publisher{1, foreign}, started: true,
		loads: 1, beats: 1, sweeps: 1, reads: 1, kills: 1,
	},
	{
		name: "own", doc: "the reader writes and sweeps itself, beside a foreign client",
		pods: 1, writers: []publisher{0, foreign}, started: true, lateNotes: true,
		loads: 1, beats: 1, ownSweeps: 2, reads: 1, kills: 1,
	},
	{
		name: "sweeps", doc: "two foreign clients write, both pods sweep",
		pods: 2, writers: []publisher{foreign, foreign}, started: true,
		loads: 1, beats: 1, sweeps: 1, ownSweeps: 1, reads: 1,
	},
	{
		name: "gaps", doc: "a sweep goes past the reader, whose connection ends",
		pods: 2, writers: []publisher{foreign, foreign}, started: true,
		beats: 1, sweeps: 2, reads: 1, kills: 1,
	},
	{
		name: "cursors", doc: "the reader reads the difference while transactions are in progress",
		pods: 2, writers: []publisher{foreign, foreign}, started: true,
		loads: 1, beats: 1, sweeps: 1, reads: 1, kills: 2,
	},
	{
		name: "three", doc: "three transactions in progress together",
		pods: 2, writers: []publisher{1, foreign, foreign}, started: true,
		beats: 1, sweeps: 1, reads: 1,
	},
	{
		name: "loads", doc: "loads run while a pod writes",
		pods: 2, writers: []publisher{1}, started: true, empty: true,
		loads: 2, beats: 1, sweeps: 1, reads: 1, kills: 1,
	},
	{
		name: "lost-answer", doc: "the publisher does not learn the outcome",
		pods: 2, writers: []publisher{1}, started: true, loses: true,
		loads: 1, beats: 2, sweeps: 1, ownSweeps: 1, reads: 1,
	},
	{
		name: "deaf", doc: "a connection stays open over which nothing arrives",
		pods: 2, writers: []publisher{1}, started: true,
		loads: 1, beats: 2, sweeps: 1, reads: 2, deaf: 1, kills: 1,
	},
	{
		name: "start", doc: "pods start from nothing while a pod and a foreign client write",
		pods: 2, writers: []publisher{1, foreign},
		loads: 1, beats: 2, sweeps: 1, reads: 1,
	},
	{
		name: "queues", doc: "the reader's subscriber is behind",
		pods: 2, writers: []publisher{1}, started: true, queued: true,
		loads: 1, beats: 1, sweeps: 1, reads: 1, kills: 1,
	},
	{
		name: "pruned", doc: "the log is pruned while the reader is away",
		pods: 2, writers: []publisher{foreign}, started: true,
		loads: 1, beats: 1, sweeps: 1, ownSweeps: 1, reads: 1, kills: 1, prunes: 1,
	},
	{
		name: "crash", doc: "Postgres crashes, the log is gone",
		pods: 2, writers: []publisher{1, foreign}, started: true,
		loads: 1, beats: 1, reads: 1, crashes: 1,
	},
	{
		name: "restart", doc: "Postgres restarts, the log stays",
		pods: 2, writers: []publisher{1, foreign}, started: true,
		beats: 1, sweeps: 1, reads: 1, restarts: 1,
	},
	{
		name: "prepared", doc: "a prepared transaction survives a crash that its event does not",
		pods: 2, writers: []publisher{foreign}, started: true,
		loads: 2, beats: 2, sweeps: 1, reads: 1, crashes: 1, prepared: 1,
	},
	{
		name: "failover", doc: "a standby that lacks the last commits is promoted and assigns their ids again",
		pods: 1, writers: []publisher{0, alone}, started: true, lateNotes: true,
		loads: 2, beats: 2, reads: 1, failovers: 1, kills: 1,
	},
	{
		name: "confirm", doc: "a write is confirmed while a connection is silent and a pod is paused",
		pods: 2, writers: []publisher{1}, started: true, confirm: true,
		loads: 1, beats: 2, sweeps: 1, reads: 1, deaf: 1, pauses: 1,
	},
	{
		name: "confirm-failover", doc: "a write is confirmed soon after a failover that lost the pods' rows",
		pods: 2, writers: []publisher{1, foreign}, started: true, confirm: true,
		loads: 1, beats: 2, reads: 1, failovers: 1, pauses: 1,
	},
}

// rules are the guards, each with the world in which a search without it finds a broken guarantee.
var rules = []struct {
	name  string
	off   guards
	scope string
	deep  bool // too many states for a test
}{
	{"an event is announced after its commit can be seen", guards{announceInvisible: true}, "lost-answer", false},
	{"a mark counts only from its from", guards{markWithoutFrom: true}, "gaps", false},
	{"a mark carries the events that no pod has announced", guards{markWithoutEvents: true}, "sweeps", false},
	{"a pod that missed pruned events resets", guards{ignorePruned: true}, "pruned", false},
	{"a new log resets", guards{ignoreEpoch: true}, "crash", false},
	{"a position is a snapshot, not a number", guards{cursorOnly: true}, "cursors", true},
	{"only beats prove freshness", guards{freshWithoutBeat: true}, "announcements", false},
	{"a beat that saw another log proves nothing", guards{beatOfOtherEpoch: true}, "failover", false},
	{"what waits in a queue is not applied", guards{appliedWhenReceived: true}, "queues", false},
	{"an event detaches the loads that it overtakes", guards{keepLoads: true}, "loads", false},
	{"a reset detaches all loads", guards{keepLoadsOnReset: true}, "crash", false},
	{"a prepared transaction that outlives its event ends the log", guards{ignorePrepared: true}, "prepared", true},
	{"a name counts only in its own log", guards{namesOutliveEpoch: true}, "failover", true},
	{"the pods' rows in a new log count only after a lease", guards{confirmWithoutWait: true}, "confirm-failover", false},
	{"a beat carries the position of its pod", guards{confirmByCount: true}, "confirm", false},
}
