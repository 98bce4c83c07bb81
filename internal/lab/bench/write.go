package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// writePlan is how much the command write measures.
type writePlan struct {
	Rounds  int
	Pace    pace
	Warmup  time.Duration // once for each variant
	Writers []int
}

var (
	longWrite  = writePlan{Rounds: 13, Pace: pace{150 * time.Millisecond, 500 * time.Millisecond}, Warmup: time.Second, Writers: []int{1, 8, 32}}
	shortWrite = writePlan{Rounds: 5, Pace: pace{80 * time.Millisecond, 220 * time.Millisecond}, Warmup: 300 * time.Millisecond, Writers: []int{1, 8, 32}}
)

// disk is a kind of disk, by the settings of the sessions that write.
type disk struct {
	name   string
	params map[string]string
	flush  time.Duration // the least that a commit takes
}

// slowFlush is what a flush takes on a managed disk. commit_delay applies in
// the session that flushes for all, so every session has it, and only if fsync
// is on; commit_siblings=0 makes it apply to a single writer as well.
const slowFlush = 2 * time.Millisecond

var disks = []disk{
	{name: "ssd"},
	{name: "2ms", flush: slowFlush, params: map[string]string{
		"commit_delay": fmt.Sprint(slowFlush.Microseconds()), "commit_siblings": "0",
	}},
}

func writeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "write",
		Short: "transactions per second: bare, with NOTIFY, with the cheapest log rows, with the bus",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := longWrite
			if o.short {
				plan = shortWrite
			}
			r, err := measureWrite(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
			return o.publish(cmd.OutOrStdout(), r)
		},
	}
}

func measureWrite(ctx context.Context, plan writePlan) (_ *report, err error) {
	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "write", Counts: map[string]any{}, Parameters: map[string]any{
		"rounds": plan.Rounds, "lead_ms": plan.Pace.lead.Milliseconds(), "slot_ms": plan.Pace.length.Milliseconds(), "rows": items,
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}
	rates := rateTable{}
	for _, d := range disks {
		did, err := measureDisk(ctx, s, d, plan, rates)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		r.Counts["bus on "+d.name] = did.String()
	}
	return r, rates.report(r, plan.Writers)
}

// measureDisk runs all rounds on one disk.
func measureDisk(ctx context.Context, s *server, d disk, plan writePlan, rates rateTable) (oursTotal, error) {
	most := plan.Writers[len(plan.Writers)-1]
	pool, err := s.pool(ctx, most, d.params)
	if err != nil {
		return oursTotal{}, err
	}
	defer pool.Close()
	own := &ours{pool: pool}
	variants := []variant{&bare{pool}, &notify{pool: pool, connect: s.connect}, &floor{pool}, newFloorLazy(pool), own}
	for _, v := range variants { // also prepares the statements on every connection
		if _, err := slot(ctx, v, most, pace{0, plan.Warmup}); err != nil {
			return oursTotal{}, err
		}
	}
	if err := checkFlush(ctx, variants[0], d); err != nil {
		return oursTotal{}, err
	}
	own.total = oursTotal{}
	// Where the server's processes are not seen from here there are only rates.
	cpu := (*processor)(nil)
	if p, err := s.processor(ctx); err == nil {
		cpu = &p
	}
	for round := range plan.Rounds {
		// The dead rows of the round before are removed now and not by an
		// autovacuum in the middle of one.
		if _, err := pool.Exec(ctx, `VACUUM item`); err != nil {
			return oursTotal{}, err
		}
		for _, writers := range plan.Writers {
			for i := range variants {
				v := variants[(i+round)%len(variants)]
				rate, each, err := slotCost(ctx, v, writers, plan.Pace, cpu)
				if err != nil {
					return oursTotal{}, err
				}
				rates.add(d.name, writers, v.name(), rate)
				if cpu != nil {
					rates.addCost(d.name, writers, v.name(), each)
				}
			}
		}
	}
	return own.total, nil
}

// checkFlush makes sure that commits take as long as the disk is said to.
func checkFlush(ctx context.Context, v variant, d disk) error {
	var took []float64
	for id := range int64(20) {
		begin := time.Now()
		if err := v.transact(ctx, id); err != nil {
			return err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	if typical := median(took); typical < d.flush.Seconds() {
		return fmt.Errorf("a commit takes %.2f ms, less than a flush of %v: commit_delay does not apply", 1e3*typical, d.flush)
	}
	return nil
}
