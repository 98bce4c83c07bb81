package main

import (
	"fmt"
	"slices"
)

// target is what a figure has to come to.
type target struct {
	figure string
	bound  float64
	least  bool   // the figure has to be at least so much; otherwise at most
	what   string // it is
	why    string // it is missed on the machine that the documentation was measured on
}

// targets are the goals of the project's issues, in the order of bench all.
var targets = []target{
	{"write.ratio.ssd", 0.85, true, "transactions per second, 32 writers, local disk, divided by those of the update alone", whyShared},
	{"write.ratio.floor", 0.95, true, "the same, divided by the cheapest log row that there can be", whyShared},
	{"write.ratio.floor_lazy", 0.85, true, "the same, divided by that row sent with a BEGIN that travels with the update", whyShared},
	{"delay.sql_p50_ms", 15, false, "ms until the last pod hears of a writer that announces nothing, median", ""},
	{"delay.sql_p99_ms", 30, false, "the same, 99th percentile", whyLate},
	{"confirm.first_ms", 50, false, "ms of the first confirmation of a pod that has just started", whyLate},
	{"catchup.loads", 110, false, "keys loaded again after an outage in which 100 of 100,000 cached keys changed", ""},
	{"hit.allocs", 0, false, "bytes allocated by a hit", ""},
	{"hit.ratio.otter.1", 1.1, false, "time of a hit divided by otter's, 1 reader", whyUnproven},
	{"hit.ratio.otter.2", 1.1, false, "the same, 2 readers", whyUnproven},
	{"hit.ratio.otter.8", 1.1, false, "the same, 8 readers", whyUnproven},
	{"hit.hot.ratio.otter", 1.1, false, "the same, one key that 16 goroutines read with GOMAXPROCS=16", whyUnproven},
	{"ratio.zipf.vs_otter", 0.98, true, "hits divided by otter's, trace zipf, 10,000 entries", ""},
	{"ratio.scan.vs_otter", 0.98, true, "the same, trace scan", ""},
	{"ratio.onehit.vs_otter", 0.98, true, "the same, trace onehit", ""},
	{"ratio.recency.vs_otter", 1, true, "the same, trace recency", ""},
	{"ratio.loop.vs_otter", 0.98, true, "the same, trace loop", ""},
	{"memory.ratio.golanglru", 1.4, false, "bytes of an entry divided by golang-lru's", ""},
	{"stale.faults.ours_with_confirm", 0, false, "stale reads after a Confirm, under all faults", ""},
	{"stale.faults.beyond_bound", 0, false, "reads older than StaleAfter, under all faults", ""},
	{"tier.many.ratio.rueidis", 1.5, false, "time of 1,000 keys from Redis divided by rueidis' MGET", ""},
	{"session.get_ns", 1000, false, "ns of a read of a session", ""},
	{"session.ratio.pgxstore", 100, true, "the same, pgxstore's divided by ours", whyNear},
	{"session.statements_per_request", 0.02, false, "statements per request", ""},
	{"session.merge_kept.12", 12, true, "values kept of 12 that requests of one browser set at once", ""},
	{"session.read_your_writes_misses", 0, false, "reads on another pod, of 300, that miss the write before them", ""},
	{"session.sweep_core_percent.10m", 2, false, "per cent of a processor for the sweep of 10 million sessions", ""},
	{"lock.ratio.sql.1", 0.9, true, "leases taken and released per second, divided by two bare statements, 1 client", whyLease},
	{"lock.ratio.sql.16", 0.9, true, "the same, 16 clients", whyLease},
	{"lock.ratio.sql.32", 0.9, true, "the same, 32 clients", whyLease},
	{"lock.sql_ratio", 0.9, true, "the same by the SQL functions, divided by the Go package's", whyNoise},
	{"lock.handoff_p50_ms", 1.2, false, "ms from a release to the grant on another pod, median", whyLate},
	{"lock.tries_per_grant", 1.1, false, "statements to take what a waiter was granted", ""},
	{"lock.guard_cost", 25, false, "per cent of transactions per second that a guard costs", whyNoise},
	{"lock.heartbeat_ms.10000", 300, false, "ms of a beat that renews 10,000 leases", ""},
	{"lock.handoffs_under_snapshot_ratio", 0.5, true, "leases passed on per second under an old snapshot, divided by those without one", ""},
	{"lock.takeover_ms", 2000, false, "ms from the death of an owner to the next grant, with TakeoverAfter of a second", whyTaken},
}

// What there is to say where a target is missed.
const (
	whyShared = "Client and server share two processors, and all of them are busy: a ratio of rates is one of processor time, the client's included."
	whyLate   = "A delay of milliseconds needs a processor that is free when the message arrives; here pods, server and other programs share two."
	whyNear   = "The server is on the same machine, so a query of pgxstore takes a fraction of a millisecond, and no network is between; with one, the ratio is larger."
	whyLease  = "A lease has a token, a queue that others can wait in, and an expiry that is renewed; the two statements have none of them. Where processors are short, as on this machine, that counts in full."
	whyTaken  = "All rounds are within milliseconds of twice TakeoverAfter."
	whyNoise  = "Rounds of this figure differ by more than what is missing: the smallest and the largest of them stand in the table."
)

// reached is a target beside what was measured.
type reached struct {
	Figure, What, Goal, Value, Why string
	Missed                         bool
}

// reached returns all targets beside what was measured: the short forms do not measure all of them. A target that is missed without
// a word why is an error: the documentation must have one.
func (a *run) reached() (all []reached, err error) {
	for _, t := range targets {
		one := reached{Figure: t.figure, What: t.what, Goal: "≤ " + plainNumber(t.bound), Value: "not measured"}
		if t.least {
			one.Goal = "≥ " + plainNumber(t.bound)
		}

		v, err := a.value(t.figure)
		if err == nil {
			one.Value, one.Missed = number(v), (t.least && v < t.bound) || (!t.least && v > t.bound)
		}

		if one.Missed {
			if one.Why = t.why; t.why == "" {
				return nil, fmt.Errorf("%s is %s, and the goal %s is missed without a word why", t.figure, one.Value, one.Goal)
			}
		}

		all = append(all, one)
	}
	return all, nil
}

// missed are the targets that are.
func (a *run) missed() ([]reached, error) {
	all, err := a.reached()
	return slices.DeleteFunc(all, func(one reached) bool { return !one.Missed }), err
}

// plainNumber has no digits that say nothing: 0.85, 15, 300.
func plainNumber(v float64) string { return fmt.Sprintf("%g", v) }
