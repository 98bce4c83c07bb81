package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// control is a fault under which the oracle must report violations, because a guard is off.
type control struct {
	guards    hook.Guards // to be switched off
	caches    hook.CacheGuards
	unguarded unguarded       // leases: Guard is
	locks     hook.LockGuards // leases
	sessions  hook.SessionGuards
	tells     bool                      // sessions: pods log tokens
	raises    func(*sessionTally) count // sessions: what it must raise
	fault
}

// controls are one for each guard.
func controls() []control {
	raw := []string{"raw"}

	// One pod sweeps for all while it is there; the others would only after a good while.
	oneSweeps := func(i int, c *podConfig) {
		if i < 2 {
			c.Timing.Sweep, c.Timing.Probe = 400*time.Millisecond, 850*time.Millisecond
		}
	}
	return append([]control{
		{guards: hook.Guards{CursorOnly: true}, fault: fault{
			name: "CursorOnly", about: "transactions that nobody announces commit late",
			plan: plan{paths: []string{"slowraw"}, slow: 50 * time.Millisecond}, inject: lasting,
		}},
		{guards: hook.Guards{AnnounceEarly: true}, fault: fault{
			name: "AnnounceEarly", about: "COMMIT takes a while: caches are filled anew before it is visible",
			plan: plan{paths: []string{"tx"}}, inject: slowCommits,
		}},
		{guards: hook.Guards{MarkWithoutFrom: true}, fault: fault{
			name: "MarkWithoutFrom", about: "a pod that has just started sweeps from where it stands",
			plan: plan{pods: 2, paths: raw, tune: oneSweeps}, inject: comeAndGo,
		}},
		{guards: hook.Guards{SweepFromOwn: true}, fault: fault{
			name: "SweepFromOwn", about: "the pod that sweeps loses its listening connection and catches up for itself",
			plan: plan{paths: raw, tune: oneSweeps}, inject: terminate("application_name = 'pgcoherence listen pod-2'"),
		}},
		{guards: hook.Guards{IgnoreEpoch: true}, fault: fault{
			name: "IgnoreEpoch", about: "a crash takes events that nobody has announced yet",
			plan: plan{paths: raw, tune: func(_ int, c *podConfig) {
				c.Timing.Sweep, c.Timing.Probe = 250*time.Millisecond, 850*time.Millisecond
			}}, inject: crashed,
		}},
		{guards: hook.Guards{IgnorePruned: true}, fault: fault{
			name: "IgnorePruned", about: "two pods are cut off for longer than the log reaches back",
			plan: plan{proxied: true, tune: func(_ int, c *podConfig) { c.Keep = time.Second }}, inject: pruned,
		}},
		{guards: hook.Guards{ConfirmByNumber: true}, fault: fault{
			name: "ConfirmByNumber", about: "a subscriber lags behind, again and again",
			plan: plan{tune: func(_ int, c *podConfig) { c.Direct = false }}, inject: lagging,
		}},
		{guards: hook.Guards{ConfirmByClock: true}, fault: fault{
			name: "ConfirmByClock", about: "two pods are cut off while the server's clock leaps: they seem long dead",
			plan: plan{proxied: true, clock: true, paths: []string{"tx"}}, inject: leaping, missing: missingClock,
		}},
		{guards: hook.Guards{ConfirmWithoutEpochWait: true}, fault: fault{
			name: "ConfirmWithoutEpochWait", about: "a pod is cut off while a new log begins that does not know of it",
			plan: plan{proxied: true, paths: []string{"tx"}}, inject: forgotten,
		}},
		{guards: hook.Guards{VouchByUptime: true}, fault: fault{
			name: "VouchByUptime", about: "the same, and pods vouch for the new log by how long they run",
			plan: plan{proxied: true, paths: []string{"tx"}}, inject: forgotten,
		}},
		{guards: hook.Guards{NamesOutliveEpoch: true}, fault: fault{
			name: "NamesOutliveEpoch", about: "failover, xids given again, and what a pod held back is announced under them",
			plan: namesFault().plan, inject: givenAgain,
		}},
		{guards: hook.Guards{FreshWithoutBeat: true}, fault: fault{
			name: "FreshWithoutBeat", about: "notifications fall into a black hole, everything else arrives",
			plan:   plan{proxied: true, tune: func(_ int, c *podConfig) { c.Timing.Probe = 3 * time.Second }},
			inject: poisoned(1, []path{listenPath}, blackHole(upstream), blackHole(downstream)),
		}},
	}, slices.Concat(cacheControls(), lockControls(), sessionControls())...)
}

// run runs the fault with the guard off, or on.
func (c control) run(ctx context.Context, o options, off bool) result {
	f := c.fault
	tune := f.plan.tune
	f.plan.tune = func(i int, cfg *podConfig) {
		if off {
			cfg.Guards, cfg.CacheGuards = c.guards, c.caches
			if cfg.Session != nil {
				cfg.Session.Guards, cfg.Session.Tells = c.sessions, c.tells
			}
		}
		if tune != nil {
			tune(i, cfg)
		}
	}
	if f.lock != nil {
		lock := *f.lock
		if off {
			lock.unguarded, lock.guards = c.unguarded, c.locks
		}
		f.lock = &lock
	}

	return f.run(ctx, o)
}

// caught reports whether a run with the guard off shows what it must.
func (c control) caught(r result) bool {
	if c.raises != nil {
		return r.gate != nil && c.raises(&r.gate.tally).bad > 0
	}
	return r.violations() > 0
}

// controlTries is how often a control is tried. On a busy machine little happens in a run, and what a guard keeps from
// happening is often a matter of chance.
const controlTries = 3

// runUntilCaught runs the fault with the guard off until the oracle notices, each time for twice as long as before.
func (c control) runUntilCaught(ctx context.Context, o options) (r result) {
	for range controlTries {
		if r = c.run(ctx, o, true); c.caught(r) || ctx.Err() != nil {
			return r
		}
		o.duration *= 2
	}
	return r
}

// runControls answers whether all were caught.
func (o options) runControls(ctx context.Context, all []control, out, detail io.Writer) bool {
	caught := 0
	t := &table{}
	for _, c := range all {
		if ctx.Err() != nil {
			break
		}

		if what := c.lacks(o); what != "" {
			fmt.Fprintf(detail, "*** NOT TESTED: control %s needs %s\n", c.name, what)
			continue
		}

		r, with := c.runUntilCaught(ctx, o), c.run(ctx, o, false)
		verdict := "caught"
		switch {
		case !c.caught(r):
			verdict = "NOT CAUGHT"
		case !with.passed():
			verdict = "caught, but not clean with the guard on either"
		default:
			caught++
		}

		fmt.Fprintf(out, "control %s: %s\n", c.name, verdict)

		for _, r := range []result{r, with} {
			switch {
			case r.gate != nil:
				fmt.Fprintf(detail, "    %s\n", r.gate)
			case r.lock != nil:
				fmt.Fprintf(detail, "    %d keys that are no mutex, %d writes lost, %d out of order, %d together with others, an overlap of %v, of %d operations\n",
					r.lock.disorder, r.lock.lost, r.lock.order, r.lock.together, r.lock.overlap.claim, r.lock.checked)
			default:
				fmt.Fprintf(detail, "    %d stale beyond, %d lost, %d false confirms of %d reads\n",
					r.tally.beyond, r.lost, r.tally.falseConfirms, r.tally.reads)
			}
			t.details(detail, r)
		}
	}

	fmt.Fprintf(out, "RESULT controls.caught %d/%d\n", caught, len(all))
	return caught == len(all)
}
