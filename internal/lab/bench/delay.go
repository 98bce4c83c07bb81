package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// delayPlan is how much the command delay measures.
type delayPlan struct {
	Rate    int           // events per second
	Length  time.Duration // of the events that are announced, and of the raw ones
	Unaware int           // events that nobody announces
	Pods    int           // that listen; one more publishes
	Idle    time.Duration // how long an idle pod is watched
	Curve   curvePlan     // of more pods, beside other ways
}

func delayCommand(o *options) *cobra.Command {
	rate, slot := 100, time.Duration(0)
	c := &cobra.Command{
		Use:   "delay",
		Short: "from Commit's return until the last pod is notified, of three pods and of more and more, beside other ways",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := delayPlan{
				Rate: rate, Length: 10 * time.Second, Unaware: 300, Pods: 3, Idle: 20 * time.Second,
				Curve: curvePlan{Pods: []int{3, 10, 50, 200, 500}, Rates: []int{10, 100, 1000}, Slot: 2 * time.Second, Lead: 300 * time.Millisecond},
			}
			if o.short {
				plan.Length, plan.Unaware, plan.Idle = 3*time.Second, 60, 4*time.Second
				plan.Curve = curvePlan{Pods: []int{3, 10, 50}, Rates: []int{100, 1000}, Slot: 800 * time.Millisecond, Lead: 200 * time.Millisecond}
			}

			if slot > 0 {
				plan.Curve.Slot = slot
			}

			if rate < 1 || rate > 10_000 {
				return fmt.Errorf("delay: -rate is %d: want 1 to 10000", rate)
			}

			r, err := measureDelay(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("delay: %w", err)
			}

			return o.keep(r)
		},
	}
	c.Flags().DurationVar(&slot, "slot", 0, "`TIME` of each point of the curve, in place of the usual one")
	c.Flags().IntVar(&rate, "rate", rate, "`events` per second, and as many raw ones")
	return c
}

func measureDelay(ctx context.Context, plan delayPlan) (_ *report, err error) {
	most := plan.Pods
	for _, pods := range plan.Curve.Pods {
		most = max(most, pods)
	}
	both, r, err := openPair(ctx, "delay", fanoutConnections(most))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, both.close()) }()
	s := both.ours
	r.Parameters = map[string]any{
		"rate": plan.Rate, "seconds": plan.Length.Seconds(), "pods": plan.Pods, "unaware": plan.Unaware, "curve": plan.Curve,
	}
	events := max(int(plan.Length.Seconds()*float64(plan.Rate)), percentileParts)
	pods, err := startCluster(ctx, s, plan.Pods, events, plan.Unaware)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pods.stop()) }()
	raw, err := startRaw(ctx, s, plan.Pods, events)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, raw.stop()) }()

	if err := publishBoth(ctx, plan.Rate, events, pods, raw); err != nil {
		return nil, err
	}
	if err := publishUnaware(ctx, plan.Unaware, pods); err != nil {
		return nil, err
	}
	r.Counts["bus"] = pods.String()
	if trouble := troubleOf(pods.all()); trouble != "" {
		r.Counts["trouble"] = trouble
	}
	reportDelays(r, pods.announced, raw.noted, pods.swept)

	if err := pods.stopPods(); err != nil {
		return nil, err
	}
	idle, err := measureSweepIdle(ctx, s, time.Second, plan.Idle)
	if err != nil {
		return nil, err
	}
	r.result("delay.sweep_idle_percent", idle)
	if err := measureCurve(ctx, r, both, plan.Curve); err != nil {
		return nil, fmt.Errorf("curve: %w", err)
	}
	return r, nil
}

// measureSweepIdle is how much of a processor an idle pod takes for its sweeps, here and in the server together: what it
// takes beyond a pod that sweeps a fifth as often.
func measureSweepIdle(ctx context.Context, s *server, quiet, length time.Duration) (float64, error) {
	cpu, err := s.processor(ctx)
	if err != nil {
		return 0, err
	}
	percent := func(interval time.Duration) (_ float64, err error) {
		pool, err := s.pool(ctx, 1, nil)
		if err != nil {
			return 0, err
		}
		defer pool.Close()
		p, err := startPod(ctx, pool, bus.Config{Name: "idle", SweepInterval: interval}, nil)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		sleep(ctx, quiet)
		done, err := cpu.during(func() error {
			sleep(ctx, length)
			return ctx.Err()
		})
		return 100 * (done.server + done.client).Seconds() / length.Seconds(), err
	}

	usual, err := percent(bus.DefaultSweepInterval)
	if err != nil {
		return 0, err
	}
	rare, err := percent(5 * bus.DefaultSweepInterval)
	return max(usual-rare, 0) * 5 / 4, err
}

// publishBoth sends events through the bus and raw ones at the same rate, each
// raw one in the middle between two of the bus.
func publishBoth(ctx context.Context, rate, events int, pods *cluster, raw *rawNotify) error {
	period := time.Second / time.Duration(rate)
	start := time.Now().Add(10 * time.Millisecond)
	var both sync.WaitGroup
	var ours, theirs error
	both.Go(func() { ours = openLoop(ctx, events, start, period, pods.announce) })
	both.Go(func() { theirs = openLoop(ctx, events, start.Add(period/2), period, raw.notify) })
	both.Wait()
	if err := errors.Join(ours, theirs); err != nil {
		return err
	}
	return errors.Join(pods.announced.wait(ctx), raw.noted.wait(ctx))
}

// publishUnaware has the log to itself, since what the sweep finds holds up what
// pods announce. The pauses are random: even ones would meet the sweeps always
// at the same point.
func publishUnaware(ctx context.Context, events int, pods *cluster) error {
	for event := range events {
		sleep(ctx, rand.N(100*time.Millisecond))
		if err := pods.insert(ctx, event); err != nil {
			return err
		}
	}
	return pods.swept.wait(ctx)
}

// reportDelays takes the percentiles over all events; the spread is that of the
// same percentile in the parts of the run.
//
// A raw NOTIFY is given twice. The server wakes the listeners before it answers
// the sender, so from its return there is next to nothing left, at times less
// than nothing. After a commit, the bus has a NOTIFY yet to send: what it can at
// best come down to is the raw one from before the call.
func reportDelays(r *report, announced, raw, swept *arrivals) {
	r.row(append([]any{"ms until the last pod was notified", "events"}, percentileHeads...)...)
	fromReturn, fromCall := announced.delays()
	rawReturn, rawCall := raw.delays()
	sweptReturn, sweptCall := swept.delays()
	ours := percentileRow(r, "bus, from Commit's return", "delay.bus", fromReturn)
	percentileRow(r, "bus, from before Begin", "delay.bus_call", fromCall)
	base := percentileRow(r, "raw NOTIFY, from its return", "delay.raw", rawReturn)
	roundTrip := percentileRow(r, "raw NOTIFY, from before it", "delay.raw_call", rawCall)
	percentileRow(r, "unaware writer, from its return", "delay.swept", sweptReturn)

	// The first one comes after a quiet spell: the sweep does not know yet that somebody writes.
	sql := percentileRow(r, "unaware writer, from before COMMIT", "delay.sql", sweptCall[1:])
	r.result("delay.p50_ms", ours[0])
	r.result("delay.p99_ms", ours[2])
	r.result("delay.sql_p50_ms", sql[0])
	r.result("delay.sql_p99_ms", sql[2])
	r.result("delay.ratio_raw_notify", ours[0]/roundTrip[0])
	r.result("delay.ratio_raw_notify_return", ours[0]/base[0])
}
