package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// handOffPlan is how a lease that everybody wants is handed around.
type handOffPlan struct {
	Rounds     int
	Contenders int
	Pods       int           // of ours: processes with a bus, a pool and a Locker of their own
	Hold       time.Duration // how long each works
	Pace       pace
}

// handOffs is what a side's slots come to.
type handOffs struct {
	all, across []float64 // ms from before the release until the next one has it; those to another pod
	grants      int64     // all there were, and how many of them were asked for when the lease was held
	waited      int64
	longest     float64       // wait of anybody, in ms
	tries       int64         // of ours: statements that asked for the lease
	woken       int64         // of those, after having waited
	took        time.Duration // of the slots
}

// contest is one slot under way.
type contest struct {
	plan handOffPlan
	take func(ctx context.Context, contender int) (release func(context.Context) error, err error)
	pod  func(contender int) int

	counts   atomic.Bool // the lead is over
	over     atomic.Bool
	calls    atomic.Int64
	holding  atomic.Int32
	released struct { // guarded by the lease itself
		at  time.Time
		pod int
	}
	result handOffs // as well
}

// run lets all contenders take, hold and release the lease until the time is over.
func (c *contest) run(ctx context.Context) (*handOffs, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	waiting, stopWaiting := context.WithCancel(ctx) // ends the last waiters
	defer stopWaiting()

	var wg sync.WaitGroup
	for i := range c.plan.Contenders {
		wg.Go(func() {
			for !c.over.Load() && ctx.Err() == nil {
				if err := c.turn(ctx, waiting, i); err != nil {
					cancel(err)
				}
			}
		})
	}

	sleep(ctx, c.plan.Pace.lead)
	c.counts.Store(true)
	begin := time.Now()
	sleep(ctx, c.plan.Pace.length)
	c.over.Store(true)
	took := time.Since(begin)
	stopWaiting()
	wg.Wait()
	c.result.took = took
	return &c.result, context.Cause(ctx)
}

func (c *contest) turn(ctx, waiting context.Context, contender int) error {
	c.calls.Add(1)
	begun := time.Now()
	release, err := c.take(waiting, contender)
	if err != nil {
		if waiting.Err() != nil {
			return nil // the slot is over
		}
		return err
	}

	now := time.Now()

	if n := c.holding.Add(1); n != 1 {
		return fmt.Errorf("%d hold the lease at once", n)
	}

	c.result.grants++

	if c.counts.Load() {
		c.result.longest = max(c.result.longest, now.Sub(begun).Seconds()*1e3)
	}

	// Only who asked before the release has waited for it.
	if c.released.at.After(begun) {
		c.result.waited++
		if c.counts.Load() && !c.over.Load() {
			ms := now.Sub(c.released.at).Seconds() * 1e3
			c.result.all = append(c.result.all, ms)
			if c.pod(contender) != c.released.pod {
				c.result.across = append(c.result.across, ms)
			}
		}
	}

	sleep(ctx, c.plan.Hold)
	c.holding.Add(-1)
	c.released.pod, c.released.at = c.pod(contender), time.Now()
	return release(context.WithoutCancel(ctx))
}

func measureHandOff(ctx context.Context, r *report, s *server, peers *lockPeers, plan handOffPlan) error {
	sides := append([]lockSide{&lockLease{}}, peers.sides...)
	sums := make([]handOffs, len(sides))
	for round := range plan.Rounds {
		for i := range sides {
			i = (i + round) % len(sides)
			one, err := handOff(ctx, s, sides[i], plan)
			if err != nil {
				return fmt.Errorf("%s: %w", sides[i].name(), err)
			}
			sums[i].add(one)
		}
	}

	r.row()
	r.row(append(append([]any{"contenders", "hands one lease around: ms from Release to the next", "hand-overs/s"}, percentileHeads...), "longest wait")...)

	row := func(title, name string, ms []float64, one handOffs) float64 {
		cells, values := []any{"–", "–", "–", "–"}, []float64{0}
		if len(ms) > 0 {
			cells, values = percentileCells(r, name, ms)
		}
		r.row(append(append([]any{plan.Contenders, title, number(float64(len(ms)) / one.took.Seconds())}, cells...), number(one.longest))...)
		return values[0]
	}
	for i, side := range sides {
		one := sums[i]
		if side.name() != lockOurs {
			row(side.title(), "lock.handoff."+side.name(), one.all, one)
			continue
		}

		row("lock", "lock.handoff.ours", one.all, one)
		p50 := row("lock, from pod to pod", "lock.handoff.across", one.across, one)

		if len(one.across) == 0 {
			return errors.New("nothing was handed from pod to pod")
		}

		r.result("lock.handoff_p50_ms", p50)
		r.result("lock.tries_per_grant", float64(one.woken)/float64(one.waited))
		r.Counts["lock, one lease in turn"] = fmt.Sprintf("%d grants, %d of them to a waiter; %d statements asked for it, %d of them of waiters",
			one.grants, one.waited, one.tries, one.woken)
	}

	r.Counts["pglock, one lease in turn"] = fmt.Sprintf("with a lease of %v instead of 20 s: that is how long it sleeps between two tries", pglockWait)
	return nil
}

func (h *handOffs) add(o *handOffs) {
	h.all, h.across = append(h.all, o.all...), append(h.across, o.across...)
	h.grants += o.grants
	h.waited += o.waited
	h.tries += o.tries
	h.woken += o.woken
	h.took += o.took
	h.longest = max(h.longest, o.longest)
}

// handOff runs one slot of one side.
func handOff(ctx context.Context, s *server, side lockSide, plan handOffPlan) (_ *handOffs, err error) {
	c := &contest{plan: plan, pod: func(int) int { return 0 }}
	const key = "everybody's"
	if side.name() != lockOurs {
		wait := side.take
		if w, ok := side.(interface {
			wait(ctx context.Context, key string) (func(context.Context) error, error)
		}); ok {
			wait = w.wait
		}

		c.take = func(ctx context.Context, _ int) (func(context.Context) error, error) { return wait(ctx, key) }
		return c.run(ctx)
	}

	pods := make([]*locking, 0, plan.Pods)
	pools := make([]*pgxpool.Pool, 0, plan.Pods)
	defer func() {
		for _, p := range pods {
			err = errors.Join(err, p.stop())
		}
		for _, pool := range pools {
			pool.Close()
		}
	}()

	each := (plan.Contenders + plan.Pods - 1) / plan.Pods
	for i := range plan.Pods {
		pool, err := s.pool(ctx, each, nil)
		if err != nil {
			return nil, err
		}

		pools = append(pools, pool)
		p, err := startLocking(ctx, pool, "pod "+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}

		pods = append(pods, p)
	}

	c.pod = func(contender int) int { return contender % plan.Pods }
	c.take = func(ctx context.Context, contender int) (func(context.Context) error, error) {
		lease, err := pods[c.pod(contender)].Acquire(ctx, key)
		if err != nil {
			return nil, err
		}
		return lease.Release, nil
	}
	one, err := c.run(ctx)
	if err != nil {
		return nil, err
	}

	for _, p := range pods {
		one.tries += p.Stats().Tries
	}

	one.woken = one.tries - c.calls.Load() // each call begins with a try, whether or not somebody holds the lease
	return one, nil
}
