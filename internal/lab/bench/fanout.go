package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// fanoutPlan is how much the command fanout measures.
type fanoutPlan struct {
	Rate   int           // events per second, of all pods together
	Lead   time.Duration // of events that do not count, at the start of a slot
	Idle   time.Duration // for which the pods are watched while nothing happens
	Points []fanoutPoint
	Main   int // pods of the point that the goals are for
}

// fanoutPoint is one number of pods. Each variant runs for one slot in each round.
type fanoutPoint struct {
	Pods   int
	Rounds int
	Slot   time.Duration
}

// fanoutWriters are the connections that the events are published through.
const fanoutWriters = 16

// The most that the flags take. Every event of a slot updates a row of its own.
const maxRate, maxPods = 5000, 500

func fanoutCommand(o *options) *cobra.Command {
	rate, pods := 1000, 50
	c := &cobra.Command{
		Use:   "fanout",
		Short: "events of many pods to all of them: delay and processor time, beside NOTIFY in each transaction",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rate < 1 || rate > maxRate {
				return fmt.Errorf("fanout: -rate is %d: want 1 to %d", rate, maxRate)
			}
			if pods < 2 || pods > maxPods {
				return fmt.Errorf("fanout: -pods is %d: want 2 to %d", pods, maxPods)
			}

			r, err := measureFanout(cmd.Context(), planFanout(rate, pods, o.short))
			if err != nil {
				return fmt.Errorf("fanout: %w", err)
			}

			return o.keep(r)
		},
	}
	c.Flags().IntVar(&rate, "rate", rate, "`events` per second of all pods together")
	c.Flags().IntVar(&pods, "pods", pods, "`pods` of the main figures; 3, 10 and 50 as well, and without -short 200")
	return c
}

// planFanout plans the curve. The points beside the main one need only show its
// course.
func planFanout(rate, pods int, short bool) fanoutPlan {
	plan := fanoutPlan{Rate: rate, Main: pods, Lead: 500 * time.Millisecond, Idle: 2 * time.Second}
	curve := []int{3, 10, 50, 200}
	others, main := fanoutPoint{Rounds: 3, Slot: 7 * time.Second}, fanoutPoint{pods, 6, 10 * time.Second}
	if short {
		plan.Lead, plan.Idle = 300*time.Millisecond, 500*time.Millisecond
		curve = curve[:3]
		others, main = fanoutPoint{Rounds: 2, Slot: 1200 * time.Millisecond}, fanoutPoint{pods, 3, 2 * time.Second}
	}

	for _, n := range curve {
		if n != pods {
			plan.Points = append(plan.Points, fanoutPoint{n, others.Rounds, others.Slot})
		}
	}

	plan.Points = append(plan.Points, main)
	slices.SortFunc(plan.Points, func(a, b fanoutPoint) int { return a.Pods - b.Pods })
	return plan
}

// fanoutConnections are those of the buses, of the writers on both sides, and
// some to spare. The listeners of NOTIFY are there when no bus is.
func fanoutConnections(pods int) int { return 2*pods + 2*fanoutWriters + spare }

func measureFanout(ctx context.Context, plan fanoutPlan) (_ *report, err error) {
	most := 0
	for _, p := range plan.Points {
		most = max(most, p.Pods)
	}
	both, r, err := openPair(ctx, "fanout", fanoutConnections(most))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, both.close()) }()
	r.Parameters = map[string]any{
		"rate": plan.Rate, "lead_ms": plan.Lead.Milliseconds(), "writers": fanoutWriters, "points": plan.Points,
	}
	f := fanout{plan: plan, report: r}
	if f.cpu, err = both.ours.processor(ctx); err != nil {
		return nil, err
	}
	pool, err := both.ours.pool(ctx, fanoutWriters, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	rawPool, err := both.raw.pool(ctx, fanoutWriters, nil)
	if err != nil {
		return nil, err
	}
	defer rawPool.Close()
	f.fans = []fan{&fanBus{pool: pool}, &fanNotify{pool: rawPool, connect: both.raw.connect}, &fanBare{rawPool}}

	r.row(append(append([]any{"pods", "ms from Commit's return to the last pod", "events/s"}, percentileHeads...),
		"NOTIFY/s", "server CPUs", "client CPUs")...)
	for _, point := range plan.Points {
		reason, err := both.ours.room(ctx, fanoutConnections(point.Pods))
		if err != nil {
			return nil, err
		}
		if reason != "" && point.Pods == plan.Main {
			return nil, fmt.Errorf("%d pods: %s", point.Pods, reason)
		}
		if reason != "" {
			r.Counts[strconv.Itoa(point.Pods)+" pods left out"] = reason
			continue
		}
		if err := f.measure(ctx, point); err != nil {
			return nil, fmt.Errorf("%d pods: %w", point.Pods, err)
		}
	}
	return r, nil
}

// fanout is what all points share.
type fanout struct {
	plan   fanoutPlan
	report *report
	cpu    processor
	fans   []fan
}

// fanned is what one variant's slots come to.
type fanned struct {
	delays   []float64
	events   int
	took     time.Duration // until every event had arrived
	worked   work
	notified int64
	servers  []float64 // processors that the server kept busy, by slot
}

// measure runs all rounds with one number of pods.
func (f *fanout) measure(ctx context.Context, point fanoutPoint) error {
	results := make([]fanned, len(f.fans))
	for round := range point.Rounds {
		for i := range f.fans {
			i = (i + round) % len(f.fans)
			if err := f.slot(ctx, f.fans[i], point, round == 0, &results[i]); err != nil {
				return fmt.Errorf("%s: %w", f.fans[i].name(), err)
			}
		}
	}

	for i, one := range results {
		f.row(point.Pods, f.fans[i], one)
	}

	n := strconv.Itoa(point.Pods)
	suffix := "." + n
	if point.Pods == f.plan.Main {
		suffix = ""
	}

	own, theirs, bare := results[0], results[1], results[2]
	f.report.result("fanout.p99_ms."+n, percentile(own.delays, 99))
	f.report.result("fanout.notify_p99_ms."+n, percentile(theirs.delays, 99))
	f.report.result("fanout.cpu_ratio_notify"+suffix, own.perEvent()/theirs.perEvent())
	f.report.result("fanout.cpu_ratio_bare"+suffix, own.perEvent()/bare.perEvent())
	return nil
}

// perEvent is the server's processor time for an event, in seconds. Less than a
// tick cannot be told.
func (o fanned) perEvent() float64 {
	return max(o.worked.server, tick).Seconds() / float64(o.events)
}

// row adds the row of one variant.
func (f *fanout) row(pods int, v fan, o fanned) {
	name := "fanout." + v.name() + "." + strconv.Itoa(pods)
	delays := []any{"–", "–", "–", "–"}
	if v.listeners(pods) > 0 {
		delays, _ = percentileCells(f.report, name, o.delays)
	}
	seconds := o.took.Seconds()
	servers := newFigure(name+".server_cpus", "processors", o.servers)
	servers.Value = o.worked.server.Seconds() / seconds
	clients := newFigure(name+".client_cpus", "processors", []float64{o.worked.client.Seconds() / seconds})
	f.report.add(servers)
	f.report.add(clients)
	f.report.row(append(append([]any{pods, v.title(), number(float64(o.events) / seconds)}, delays...),
		number(float64(o.notified)/seconds), servers.summary, number(clients.Value))...)
}

// slot runs one variant once and adds to its results.
func (f *fanout) slot(ctx context.Context, v fan, point fanoutPoint, first bool, o *fanned) (err error) {
	lead := int(f.plan.Lead.Seconds() * float64(f.plan.Rate))
	events := max(int(point.Slot.Seconds()*float64(f.plan.Rate)), 1)
	if v.listeners(point.Pods) == 0 {
		events = (events + 1) / 2 // there is no delay to take percentiles of
	}

	noted := newArrivals(lead+events, v.listeners(point.Pods))
	if err := v.start(ctx, v.listeners(point.Pods), noted); err != nil {
		return err
	}
	defer func() {
		did, trouble, stopErr := v.stop()
		err = errors.Join(err, stopErr)
		where := fmt.Sprintf("%d pods, %s", point.Pods, v.title())
		if did != "" {
			f.report.Counts[where+", last slot"] = did
		}
		if trouble != "" {
			f.report.Counts[where+", trouble"] = trouble
		}
	}()

	runtime.GC() // the garbage of the slot before

	if first && v.name() == "bus" {
		if err := f.idle(ctx, point.Pods); err != nil {
			return err
		}
	}

	// The label tells the variants apart in a profile of the whole run.
	pprof.Do(ctx, pprof.Labels("variant", v.name()), func(ctx context.Context) {
		if err = f.load(ctx, v, noted, 0, lead); err != nil {
			return
		}

		begin, before := time.Now(), v.notifies()
		var worked work
		var other time.Duration
		worked, err = f.cpu.during(func() (err error) {
			other, err = otherTime(ctx, v, func(ctx context.Context) error { return f.load(ctx, v, noted, lead, events) })
			return err
		})
		worked.server += other
		took := time.Since(begin)
		o.took += took
		o.worked = o.worked.plus(worked)
		o.servers = append(o.servers, worked.server.Seconds()/took.Seconds())
		o.notified += v.notifies() - before
		o.events += events
	})

	if err != nil {
		return err
	}

	if v.listeners(point.Pods) > 0 {
		returned, _ := noted.delays()
		o.delays = append(o.delays, returned[lead:]...)
	}

	return nil
}

// load publishes events from the number first on, evenly and whatever they take,
// and waits until every listener has every one.
func (f *fanout) load(ctx context.Context, v fan, noted *arrivals, first, n int) error {
	period := time.Second / time.Duration(f.plan.Rate)
	start := time.Now().Add(10 * time.Millisecond)
	err := openLoop(ctx, n, start, period, func(ctx context.Context, event int) error {
		event += first
		return noted.publish(event, func() error { return v.publish(ctx, event) })
	})
	if err != nil {
		return err
	}
	return noted.waitFor(ctx, first+n)
}

// idle measures what the pods cost while nothing happens.
func (f *fanout) idle(ctx context.Context, pods int) error {
	begin := time.Now()
	worked, err := f.cpu.during(func() error {
		sleep(ctx, f.plan.Idle)
		return nil
	})
	if err != nil {
		return err
	}

	seconds := time.Since(begin).Seconds()
	name := fmt.Sprintf("fanout.idle.%d.", pods)
	servers := newFigure(name+"server_cpus", "processors", []float64{worked.server.Seconds() / seconds})
	clients := newFigure(name+"client_cpus", "processors", []float64{worked.client.Seconds() / seconds})
	f.report.add(servers)
	f.report.add(clients)
	f.report.row(pods, "bus, no events", "0.000", "–", "–", "–", "–", "–", servers.summary, number(clients.Value))
	return nil
}
