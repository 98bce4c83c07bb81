package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// memoryPlan is how much the command memory measures.
type memoryPlan struct {
	Rounds  int
	Entries int
}

func memoryCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "memory",
		Short: "bytes per entry of a full cache, beside other caches; keys and values not counted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := memoryPlan{Rounds: 3, Entries: 1_000_000}
			if o.short {
				plan.Rounds = 1
			}

			r, err := measureMemory(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("memory: %w", err)
			}

			return o.keep(r)
		},
	}
}

func measureMemory(ctx context.Context, plan memoryPlan) (*report, error) {
	r := &report{Command: "memory", Counts: map[string]any{}, Environment: localEnvironment("none"), Parameters: map[string]any{
		"rounds": plan.Rounds, "entries": plan.Entries,
	}}
	keys := make([]string, plan.Entries)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}

	one := &thing{1}
	load := func(context.Context, string) (*thing, error) { return one, nil }
	makers := []maker{oursOn(bus.NewLocal()), makeGolangLRU, makeExpirable, makeOtter, makeSturdyc, makeTheine}
	names, bytes, held := make([]string, len(makers)), make([][]float64, len(makers)), make([]int, len(makers))
	for round := range plan.Rounds {
		for i := range makers {
			i = (i + round) % len(makers)
			before := heap()
			s, err := makers[i](plan.Entries, load)
			if err != nil {
				return nil, err
			}

			for _, key := range keys {
				if err := s.put(ctx, key, one); err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
			}

			names[i] = s.name
			grown := heap() - before
			held[i] = s.held()
			bytes[i] = append(bytes[i], float64(grown)/float64(held[i]))
			s.end()
		}
	}

	runtime.KeepAlive(keys)
	r.row("cache", "bytes per entry", "entries held")

	for i, name := range names {
		f := newFigure("memory.bytes."+name, "bytes", bytes[i])
		r.add(f)
		r.row(name, f.summary, held[i])
	}

	for i, name := range []string{"golanglru", "expirable", "otter", "sturdyc", "theine"} {
		rounds, err := ratios(bytes[0], bytes[i+1])
		if err != nil {
			return nil, err
		}
		f := newFigure("memory.ratio."+name, "ratio", rounds)
		r.add(f)
		r.result(f.Name, f.Value)
	}

	return r, nil
}

// heap is what is reachable.
func heap() int64 {
	var m runtime.MemStats
	for range 2 { // the second also takes what finalizers have let go
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
