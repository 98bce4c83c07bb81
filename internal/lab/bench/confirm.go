package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// confirmPlan is how much the command confirm measures.
type confirmPlan struct {
	Lease  time.Duration // the pod lease: for so long a bus watches the log before it confirms by positions
	Points []confirmPoint
}

// confirmPoint is one size of a cluster.
type confirmPoint struct {
	Pods    int
	Rounds  int // confirmations one at a time, and as many of the baseline
	Batches int // of confirmations at once, spread over the rounds
}

// atOnce is how many confirmations a batch has.
const atOnce = 8

// confirmLease is the shortest that the defaults of Config go with.
const confirmLease = 4 * time.Second

func confirmCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Confirm on healthy clusters of 3 and 50 pods, beside the cheapest scheme of acknowledgements",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := confirmPlan{Lease: confirmLease, Points: []confirmPoint{{3, 400, 50}, {50, 200, 25}}}
			if o.short {
				plan.Points = []confirmPoint{{3, 200, 25}, {50, 60, 10}}
			}

			r, err := measureConfirm(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("confirm: %w", err)
			}

			return o.keep(r)
		},
	}
}

func measureConfirm(ctx context.Context, plan confirmPlan) (_ *report, err error) {
	most := 0
	for _, p := range plan.Points {
		most = max(most, p.Pods)
	}

	both, r, err := openPair(ctx, "confirm", confirmConnections(most))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, both.close()) }()

	r.Parameters = map[string]any{"lease_seconds": plan.Lease.Seconds(), "at_once": atOnce, "points": plan.Points}
	r.row(append([]any{"ms", "samples"}, percentileHeads...)...)

	for _, point := range plan.Points {
		reason, err := both.ours.room(ctx, confirmConnections(point.Pods))
		if err != nil {
			return nil, err
		}
		if reason != "" {
			return nil, fmt.Errorf("%d pods: %s", point.Pods, reason)
		}
		if err := measureConfirmPoint(ctx, r, both, plan.Lease, point); err != nil {
			return nil, fmt.Errorf("%d pods: %w", point.Pods, err)
		}
	}

	return r, nil
}

// confirmConnections are those of the buses, of the listeners by hand, of the
// pool and some to spare.
func confirmConnections(pods int) int { return 3*pods + atOnce + spare }

// spare is how many connections are left for what is not counted.
const spare = 16

// confirmer confirms on a cluster.
type confirmer struct {
	pods  fleet
	noted *arrivals
	event int
}

func measureConfirmPoint(ctx context.Context, r *report, both *pair, lease time.Duration, point confirmPoint) (err error) {
	pool, err := both.ours.pool(ctx, atOnce, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, `UPDATE pgcoherence.setting SET pod_lease = make_interval(secs => $1)`, lease.Seconds())
	if err != nil {
		return err
	}
	trust := lease * 3 / 4
	cfg := bus.Config{StaleAfter: trust, BeatInterval: min(bus.DefaultBeatInterval, trust/3)}
	c := &confirmer{noted: newArrivals(1+point.Pods+point.Rounds+point.Batches*atOnce, point.Pods)}
	c.pods, err = startFleet(ctx, pool, point.Pods, cfg, func(pod int, d bus.Delivery) {
		for _, key := range d.Keys {
			if event, err := strconv.Atoi(key); err == nil {
				c.noted.arrive(pod, event)
			}
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(c.pods)) }()
	hands, err := startAcks(ctx, both.raw, point.Pods)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hands.stop()) }()

	sleep(ctx, lease) // until then Confirm waits for it to pass
	for range point.Pods {
		if _, err := c.confirm(ctx, 1); err != nil { // also prepares the statements of every pod
			return err
		}
	}
	if err := hands.round(ctx); err != nil {
		return err
	}
	one, many, baseline, err := c.alternate(ctx, hands, point)
	if err != nil {
		return err
	}
	n := strconv.Itoa(point.Pods)
	if point.Pods == firstPods {
		first, err := c.first(ctx, pool, cfg, firstStarts)
		if err != nil {
			return err
		}
		fs := percentileRow(r, n+" pods: the first Confirm of one that has just started", "confirm.first."+n, first)
		r.result("confirm.first_ms", fs[0])
	}
	values := percentileRow(r, n+" pods: Confirm, one at a time", "confirm.one."+n, one)
	percentileRow(r, n+" pods: Confirm, "+strconv.Itoa(atOnce)+" at once", "confirm.together."+n, many)
	percentileRow(r, n+" pods: NOTIFY and "+n+" rows by hand", "confirm.hand."+n, baseline)
	r.result("confirm.p50_ms."+n, values[0])
	r.Counts[n+" pods"] = c.pods.String()
	if trouble := troubleOf(c.pods); trouble != "" {
		r.Counts["trouble with "+n+" pods"] = trouble
	}
	return nil
}

const (
	firstPods   = 3  // the cluster that confirm.first_ms is of
	firstStarts = 10 // pods that start, one after the other
)

// first is how long the first confirmation of a pod takes that has just joined.
func (c *confirmer) first(ctx context.Context, pool *pgxpool.Pool, cfg bus.Config, starts int) (took []float64, err error) {
	for i := range starts {
		cfg.Name = "late " + strconv.Itoa(i)
		late, err := startPod(ctx, pool, cfg, nil)
		if err != nil {
			return nil, err
		}

		receipt, err := late.Publish(ctx, bus.Event{Topic: topic, Keys: []string{"late"}})
		begin := time.Now()

		if err == nil {
			err = late.Confirm(ctx, receipt)
		}

		took = append(took, time.Since(begin).Seconds()*1e3)

		if err := errors.Join(err, late.stop()); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// alternate lets confirmations and the baseline take turns.
func (c *confirmer) alternate(ctx context.Context, hands *acks, point confirmPoint) (one, many, baseline []float64, err error) {
	every := max(point.Rounds/max(point.Batches, 1), 1)
	for round := range point.Rounds {
		ours := func() error {
			ms, err := c.confirm(ctx, 1)
			one = append(one, ms...)
			return err
		}

		theirs := func() error {
			begin := time.Now()
			err := hands.round(ctx)
			baseline = append(baseline, time.Since(begin).Seconds()*1e3)
			return err
		}
		steps := []func() error{ours, theirs}
		if round%2 == 1 {
			steps = []func() error{theirs, ours}
		}

		if round%every == every-1 && len(many) < point.Batches*atOnce {
			steps = append(steps, func() error {
				ms, err := c.confirm(ctx, atOnce)
				many = append(many, ms...)
				return err
			})
		}

		for _, step := range steps {
			if err := step(); err != nil {
				return nil, nil, nil, err
			}
		}
	}

	return one, many, baseline, nil
}

// confirm publishes n events at once, each through the next pod, then confirms
// them at once, and answers how many milliseconds each confirmation took.
func (c *confirmer) confirm(ctx context.Context, n int) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	first := c.event
	c.event += n
	receipts := make([]bus.Receipt, n)
	err := together(n, func(i int) (err error) {
		receipts[i], err = c.pod(first+i).Publish(ctx, bus.Event{Topic: topic, Keys: []string{strconv.Itoa(first + i)}})
		return err
	})
	if err != nil {
		return nil, err
	}

	took := make([]float64, n)
	err = together(n, func(i int) error {
		begin := time.Now()
		err := c.pod(first+i).Confirm(ctx, receipts[i])
		took[i] = time.Since(begin).Seconds() * 1e3
		if _, ok := c.noted.last(first + i); !ok && err == nil {
			err = fmt.Errorf("event %d is confirmed, but not every pod has applied it", first+i)
		}
		return err
	})
	return took, err
}

func (c *confirmer) pod(event int) *pod { return c.pods[event%len(c.pods)] }
