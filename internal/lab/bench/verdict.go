package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// claim compares the library with a peer at one point of a column.
type claim struct {
	column string // what is measured
	point  string // where; empty if there is only one
	peer   string
	ours   string // names of figures
	theirs string
	higher bool   // the higher figure is ahead
	why    string // what there is to say if the peer is ahead
}

// What there is to say where a peer is ahead. Each sentence is of a kind of peers.
const (
	whyNotify   = "NOTIFY in the transaction needs no row in a log. It costs group commit, and what is sent while no pod listens is lost."
	whySwept    = "With many pods that are busy the library announces less, and pods find events by their sweeps, up to a tenth of a second later: that spares the server's processors."
	whyOutbox   = "Its row is as cheap, and its readers hear of it when they poll next: a tenth of a second here."
	whyRedis    = "Nothing is written in the transaction. A process that ends between its commit and its message leaves old values everywhere: see the stale reads."
	whyPoll     = "Readers that poll cost little when events are many, and wait for their turn when they are few."
	whyTrack    = "Redis sends to its clients at once, and nothing is written in the transaction. The same stale reads as for messages after the commit."
	whyUnproven = "A hit here also proves that the pod is in sync, by reading the clock; that one checks nothing."
	whyOtter    = "It keeps statistics of a different kind for each key. The two decide differently, and no policy is best on every trace."
	whyFill     = "It guards a load against nothing: an invalidation during the load leaves the old value in it."
	whyMemory   = "It keeps no tags, no time of the load and no position of the log with an entry."
	whyTier     = "It returns what Redis has. The tier also checks that a value is newer than every invalidation the pod knows."
	whyLocal    = "It replies from this process' own memory; the cache in front of the tier does the same, and is measured as a hit."
)

// claims are all columns in which somebody may ask who is ahead.
func claims() (all []claim) {
	for _, d := range disks {
		for _, w := range []int{1, 8, 32, 64} {
			for _, p := range []struct{ name, title, why string }{
				{"notify", "NOTIFY in the transaction", whyNotify},
				{"outbox", "an outbox table", whyOutbox},
				{"watermill", "watermill-sql", whyOutbox},
				{"redis", "Redis publish after the commit", whyRedis},
			} {
				all = append(all, claim{
					"transactions per second", fmt.Sprintf("%s, %d writers", d.title(), w), p.title,
					rateKey(d.name, w, "ours"), rateKey(d.name, w, p.name), true, p.why,
				})
			}
		}
	}

	for _, pods := range []int{3, 10, 50, 200, 500} {
		for _, rate := range []int{10, 100, 1000} {
			for _, p := range []struct{ name, title, why string }{
				{"pgxlisten", "pgxlisten", whyNotify},
				{"pq", "lib/pq", whyNotify},
				{"redis", "Redis pub/sub", whyRedis},
				{"tracking", "rueidis tracking", whyTrack},
				{"poll", "polling at 100 ms", whyPoll},
			} {
				for _, column := range []struct{ title, suffix string }{{"median delay", "p50_ms"}, {"99th percentile of the delay", "p99_ms"}, {"server CPUs", "server_cpus"}} {
					why := p.why
					if pods >= 50 && column.suffix != "server_cpus" {
						why = whySwept
					}

					name := func(way string) string { return fmt.Sprintf("delay.%s.%d.%d.%s", way, pods, rate, column.suffix) }
					all = append(all, claim{
						column.title, fmt.Sprintf("%d pods, %d events/s", pods, rate), p.title, name("bus"), name(p.name), false, why,
					})
				}
			}
		}
	}

	for _, readers := range []int{1, 2, 8} {
		for _, p := range []struct{ name, why string }{
			{"otter", whyUnproven},
			{"sturdyc", whyUnproven},
			{"golang-lru", whyUnproven},
			{"expirable", whyUnproven},
			{"theine", whyUnproven},
			{"ristretto", whyUnproven},
		} {
			name := func(who string) string { return fmt.Sprintf("hit.ns.%s.%d", who, readers) }
			all = append(all, claim{"a hit", fmt.Sprintf("%d readers", readers), p.name, name("ours"), name(p.name), false, p.why})
		}
	}

	for _, readers := range []int{1, 8} {
		for _, p := range []string{"singleflight+golang-lru", "otter", "sturdyc", "go-redis/cache"} {
			name := func(who string) string { return fmt.Sprintf("fill.ns.%s.%d", who, readers) }
			all = append(all, claim{"a miss", fmt.Sprintf("%d readers", readers), p, name("ours"), name(p), false, whyFill})
		}
	}

	for _, t := range traces {
		for _, p := range []string{"golang-lru", "golang-lru 2Q", "otter", "theine", "ristretto"} {
			name := func(who string) string { return fmt.Sprintf("ratio.hits.%s.10000.%s", t.name, who) }
			all = append(all, claim{"hit ratio", "trace " + t.name, p, name("ours"), name(p), true, whyOtter})
		}
	}

	for _, p := range []string{"golang-lru", "expirable", "otter", "sturdyc", "theine"} {
		all = append(all, claim{"bytes per entry", "", p, "memory.bytes.ours", "memory.bytes." + p, false, whyMemory})
	}

	for _, p := range []struct{ name, why string }{
		{"rueidis", whyTier}, {"rueidis, our options", whyTier}, {"rueidis client-side", whyLocal}, {"go-redis/cache", whyTier},
	} {
		all = append(all, claim{"reading from Redis", "", p.name, "tier.us.ours", "tier.us." + p.name, false, p.why})
	}

	return all
}

// verdict is what the claims about a peer in one column come to.
type verdict struct {
	Column, Peer string
	Points       int // that were measured
	Ahead        int // of which the library is ahead, or as good
	Least, Most  float64
	Behind       string // the points where the peer is ahead, and by what factor
	Why          string
}

// near is what counts as the same: figures are not better than that.
const near = 1.03

// verdicts are those of all columns and peers that were measured.
func (a *run) verdicts() (all []*verdict) {
	for _, c := range claims() {
		ours, err := a.value(c.ours)
		if err != nil {
			continue
		}
		theirs, err := a.value(c.theirs)
		if err != nil || ours <= 0 || theirs <= 0 { // a delay below nothing: the message was there before the reply
			continue
		}
		better := ours / theirs
		if !c.higher {
			better = theirs / ours
		}

		at := slices.IndexFunc(all, func(v *verdict) bool { return v.Column == c.column && v.Peer == c.peer })
		if at < 0 {
			at = len(all)
			all = append(all, &verdict{Column: c.column, Peer: c.peer, Least: better, Most: better})
		}
		all[at].count(c, better)
	}
	return all
}

func (v *verdict) count(c claim, better float64) {
	v.Points++
	v.Least, v.Most = min(v.Least, better), max(v.Most, better)
	if better*near >= 1 {
		v.Ahead++
		return
	}

	switch {
	case v.Why == "":
		v.Why = c.why
	case !strings.Contains(v.Why, c.why):
		v.Why += " " + c.why
	}
	if v.Behind != "" {
		v.Behind += "; "
	}
	if c.point != "" {
		v.Behind += c.point + ": "
	}

	v.Behind += number(1 / better)
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
