package main

import "github.com/pgcoherence/pgcoherence/internal/hook"

// fillGuards switches off rules of fills: those of the shipped code, and those of the order of its steps.
type fillGuards struct {
	guards      hook.CacheGuards
	dropFirst   bool // an event drops the entry before it is remembered
	unlocked    bool // an event may come between a load's decision and its end
	serveAnyway bool // an entry is served without proof
}

// eventKind is what an event names.
type eventKind uint8

const (
	eventKey eventKind = iota
	eventTag
	eventAll
)

// budget is how often each thing may happen to one pod.
type budget struct {
	beats, resets, gets, fresh, after, refreshes int
}

// fillScope bounds a small world of fills.
type fillScope struct {
	name string
	doc  string

	pods    int
	events  []eventKind // one for each transaction
	tagged  bool        // the row has a tag
	cached  bool        // the reader's cache has the row's first value
	tier    bool
	standby bool // loaders read from a standby unless they are told not to
	stated  bool // what is read from the primary comes with its snapshot
	memory  int  // how many names a pod remembers
	inTurn  bool // transactions run one after the other
	single  bool // a reader comes when the one before has its value

	failovers, pauses, replays int
	budgets                    []budget

	off fillGuards
}

var fillScopes = []fillScope{
	{
		name: "fills", doc: "loads run while two transactions write",
		pods: 1, events: []eventKind{eventKey, eventKey}, memory: 100,
		budgets: []budget{{gets: 3}},
	},
	{
		name: "fills-tags", doc: "a row's tag, its key, and all are invalidated",
		pods: 1, events: []eventKind{eventTag, eventTag}, tagged: true, memory: 100,
		budgets: []budget{{gets: 3}},
	},
	{
		name: "fills-all", doc: "all keys are invalidated, and a key",
		pods: 1, events: []eventKind{eventAll, eventKey}, memory: 100,
		budgets: []budget{{gets: 3}},
	},
	{
		name: "fills-fresh", doc: "GetFresh and GetAfter beside Get",
		pods: 1, events: []eventKind{eventKey}, cached: true, memory: 100,
		budgets: []budget{{gets: 1, fresh: 1, after: 1}},
	},
	{
		name: "fills-refresh", doc: "an entry is refreshed ahead of its end",
		pods: 1, events: []eventKind{eventKey, eventKey}, cached: true, memory: 100,
		budgets: []budget{{gets: 1, refreshes: 2}},
	},
	{
		name: "fills-reset", doc: "a pod that has missed something resets",
		pods: 1, events: []eventKind{eventKey}, memory: 100,
		budgets: []budget{{beats: 1, resets: 1, gets: 2}},
	},
	{
		name: "fills-failover", doc: "a standby that lacks the last commits is promoted",
		pods: 1, events: []eventKind{eventKey, eventKey}, memory: 100, failovers: 1,
		budgets: []budget{{beats: 1, gets: 1}},
	},
	{
		name: "fills-unproven", doc: "a pod is paused while loads run",
		pods: 1, events: []eventKind{eventKey}, cached: true, memory: 100, pauses: 2,
		budgets: []budget{{beats: 1, gets: 3}},
	},
	{
		name: "fills-standby", doc: "loads read from a standby that is behind",
		pods: 1, events: []eventKind{eventKey, eventKey}, standby: true, memory: 100, replays: 1,
		budgets: []budget{{beats: 1, gets: 1}},
	},
	{
		name: "fills-tier-own", doc: "a pod reads what it wrote to a tier before",
		pods: 1, events: []eventKind{eventKey, eventKey}, tier: true, memory: 100,
		budgets: []budget{{gets: 2}},
	},
	{
		name: "fills-tier", doc: "two pods share a tier, whose values arrive late",
		pods: 2, events: []eventKind{eventKey}, tier: true, memory: 100,
		budgets: []budget{{beats: 1, gets: 2}, {gets: 1}},
	},
	{
		name: "fills-tier-tags", doc: "the same with a tag",
		pods: 2, events: []eventKind{eventTag}, tagged: true, tier: true, memory: 100,
		budgets: []budget{{gets: 2}, {gets: 1}},
	},
	{
		name: "fills-tier-failover", doc: "a tier outlives a failover that assigns ids again",
		pods: 1, events: []eventKind{eventKey, eventKey}, tier: true, memory: 100, failovers: 1, inTurn: true, single: true,
		budgets: []budget{{beats: 1, gets: 2}},
	},
	{
		name: "fills-memory", doc: "a pod remembers one name only",
		pods: 1, events: []eventKind{eventTag, eventKey}, tagged: true, tier: true, memory: 1,
		budgets: []budget{{beats: 1, gets: 2}},
	},
}

// fillRules are the guards, each with the world in which a search without it finds a broken guarantee.
var fillRules = []struct {
	name  string
	off   fillGuards
	scope string
	deep  bool // too many states for a test
}{
	{"an event detaches the load of its key", fillGuards{guards: hook.CacheGuards{KeepLoads: true}}, "fills", false},
	{"a reset includes the loads of before", fillGuards{guards: hook.CacheGuards{KeepLoadsOnReset: true}}, "fills-reset", true},
	{"a tag counts that was invalidated during the load", fillGuards{guards: hook.CacheGuards{TagsForLater: true}}, "fills-tags", false},
	{"an event is kept out between decision and end", fillGuards{unlocked: true}, "fills", false},
	{"GetFresh joins no load that runs", fillGuards{guards: hook.CacheGuards{FreshJoins: true}}, "fills-fresh", false},
	{"an entry is served only with proof", fillGuards{serveAnyway: true}, "fills-unproven", false},
	{"without proof no reader joins an old load", fillGuards{guards: hook.CacheGuards{JoinOld: true}}, "fills-unproven", true},
	{"a standby's value counts only if it sees all that is known", fillGuards{guards: hook.CacheGuards{AnyStandby: true}}, "fills-standby", false},
	{"a tier's value counts only if it sees all that is known", fillGuards{guards: hook.CacheGuards{AnySnapshot: true}}, "fills-tier-own", true},
	{"an event is remembered before the entry is dropped", fillGuards{dropFirst: true}, "fills-tier-own", false},
	{"a tier's value is of one log", fillGuards{guards: hook.CacheGuards{AnyEpoch: true}}, "fills-tier-failover", true},
	{"a value for the tier says what its load had seen when it began", fillGuards{guards: hook.CacheGuards{LabelLate: true}}, "fills-tier-own", true},
	{"the epoch is read before the position", fillGuards{guards: hook.CacheGuards{EpochLate: true}}, "fills-tier-failover", true},
}
