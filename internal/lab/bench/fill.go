package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// fillPlan is how much the command fill measures.
type fillPlan struct {
	Rounds  int
	Misses  int // of one variant in one round
	Size    int // of the caches: from then on each miss also evicts
	Readers []int
}

func fillCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "fill",
		Short: "what a miss costs beside the load itself, beside other caches that load",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := fillPlan{Rounds: 31, Misses: 20_000, Size: 10_000, Readers: []int{1, 8}}
			if o.short {
				plan.Rounds, plan.Misses = 21, 10_000
			}

			r, err := measureFill(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("fill: %w", err)
			}

			return o.keep(r)
		},
	}
}

// filler is a variant of fill.
type filler struct {
	*subject
	loads  atomic.Int64
	ns     map[int][]float64 // of one miss, by readers
	allocs []float64
	next   int
}

func measureFill(ctx context.Context, plan fillPlan) (*report, error) {
	r := &report{Command: "fill", Counts: map[string]any{}, Environment: localEnvironment("none"), Parameters: map[string]any{
		"rounds": plan.Rounds, "misses": plan.Misses, "size": plan.Size, "readers": plan.Readers,
	}}
	var fillers []*filler
	defer func() {
		for _, f := range fillers {
			f.end()
		}
	}()

	for _, make := range []maker{oursOn(bus.NewLocal()), makeFlight, makeOtter, makeSturdyc, makeRedisCache} {
		f := &filler{ns: map[int][]float64{}}
		var err error
		f.subject, err = make(plan.Size, func(context.Context, string) (*thing, error) {
			f.loads.Add(1)
			return &thing{1}, nil
		})
		if err != nil {
			return nil, err
		}

		fillers = append(fillers, f)
	}

	for round := range plan.Rounds {
		for _, readers := range plan.Readers {
			for i := range fillers {
				if err := fillers[(i+round)%len(fillers)].sample(ctx, readers, plan.Misses); err != nil {
					return nil, err
				}
			}
		}
	}

	r.row("cache", "readers", "ns per miss", "allocations")

	for _, readers := range plan.Readers {
		for _, f := range fillers {
			one := newFigure(fmt.Sprintf("fill.ns.%s.%d", f.name, readers), "ns", f.ns[readers])
			r.add(one)
			r.row(f.name, readers, one.summary, number(median(f.allocs)))
		}
	}

	for i, name := range []string{"singleflight", "otter", "sturdyc", "redis_cache"} {
		for _, readers := range plan.Readers {
			rounds, err := ratios(fillers[0].ns[readers], fillers[i+1].ns[readers])
			if err != nil {
				return nil, err
			}
			f := newFigure(fmt.Sprintf("fill.ratio.%s.%d", name, readers), "ratio", rounds)
			r.add(f)
			r.result(f.Name, f.Value)
		}
	}

	return r, nil
}

// sample reads keys that nobody has read before.
func (f *filler) sample(ctx context.Context, readers, misses int) error {
	keys := make([]string, misses)
	for i := range keys {
		f.next++
		keys[i] = "user:" + strconv.Itoa(f.next)
	}

	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	loads := f.loads.Load()
	begin := time.Now()

	err := together(readers, func(reader int) error {
		for i := reader; i < misses; i += readers {
			if _, err := f.get(ctx, keys[i]); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
		return nil
	})

	took := time.Since(begin)

	if err != nil {
		return err
	}

	runtime.ReadMemStats(&after)

	if n := f.loads.Load() - loads; n != int64(misses) {
		return fmt.Errorf("%s: %d loads for %d new keys", f.name, n, misses)
	}

	f.ns[readers] = append(f.ns[readers], float64(took.Nanoseconds())/float64(misses))
	f.allocs = append(f.allocs, float64(after.Mallocs-before.Mallocs)/float64(misses))
	return ctx.Err()
}
