package main

import (
	"context"
	"fmt"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// ratioPlan is how much the command ratio measures.
type ratioPlan struct {
	Rounds int // each with another seed
	Reads  int // of a trace
	Sizes  []int
}

func ratioCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "ratio",
		Short: "hit ratios on traces of several shapes, beside other caches of the same size",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := ratioPlan{Rounds: 3, Reads: 600_000, Sizes: []int{10_000, 2000}}
			if o.short {
				plan.Rounds, plan.Sizes = 1, plan.Sizes[:1]
			}

			r, err := measureRatio(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("ratio: %w", err)
			}

			return o.keep(r)
		},
	}
}

// ratioSubject is a cache for the keys of a trace.
type ratioSubject struct {
	read  func(key int) (hit bool) // and have it held
	close func()
}

// ratioMaker makes a cache for so many entries.
type ratioMaker struct {
	name string
	make func(ctx context.Context, size int) (*ratioSubject, error)
}

var ratioMakers = []ratioMaker{
	{"ours", ratioOurs(cache.EvictAdaptive)},
	{"ours (EvictLRU)", ratioOurs(cache.EvictLRU)},
	{"golang-lru", ratioGolangLRU},
	{"golang-lru 2Q", ratio2Q},
	{"otter", ratioOtter},
	{"theine", ratioTheine},
	{"ristretto", ratioRistretto},
}

func measureRatio(ctx context.Context, plan ratioPlan) (*report, error) {
	r := &report{Command: "ratio", Counts: map[string]any{}, Environment: localEnvironment("none"), Parameters: map[string]any{
		"rounds": plan.Rounds, "reads": plan.Reads, "sizes": plan.Sizes,
	}}
	header := []any{"trace", "size"}
	for _, m := range ratioMakers {
		header = append(header, m.name)
	}

	r.row(header...)

	dots := panel{Kind: kindDots, X: "% of reads served from memory"}
	for _, m := range ratioMakers {
		dots.Lines = append(dots.Lines, series{Name: m.name})
	}

	for i, size := range plan.Sizes {
		for _, t := range traces {
			rates, err := ratioOf(ctx, plan, t, size)
			if err != nil {
				return nil, err
			}
			if err := reportRatio(r, t, size, rates, i == 0); err != nil {
				return nil, err
			}
			if i > 0 {
				continue
			}

			dots.Labels = append(dots.Labels, t.name)
			for i := range dots.Lines {
				dots.Lines[i].Y = append(dots.Lines[i].Y, rounded4(median(rates[i])))
			}
		}
	}

	r.chart(chart{Name: "ratio", Title: fmt.Sprintf("Hit ratio with room for %d entries, by trace", plan.Sizes[0]), Panels: []panel{dots}})

	for _, t := range traces {
		r.Counts[t.name] = t.about
	}

	return r, nil
}

// ratioOf is the hit ratio of each cache in each round, in per cent.
func ratioOf(ctx context.Context, plan ratioPlan, t trace, size int) (rates [][]float64, err error) {
	rates = make([][]float64, len(ratioMakers))
	for round := range plan.Rounds {
		keys := t.generate(size, plan.Reads, uint64(round+1))
		for i, m := range ratioMakers {
			s, err := m.make(ctx, size)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}

			hits := 0
			for _, key := range keys {
				if s.read(key) {
					hits++
				}
			}

			s.close()
			rates[i] = append(rates[i], 100*float64(hits)/float64(len(keys)))

			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}

	return rates, nil
}

func reportRatio(r *report, t trace, size int, rates [][]float64, results bool) error {
	row := []any{t.name, size}
	for i, m := range ratioMakers {
		f := newFigure(fmt.Sprintf("ratio.hits.%s.%d.%s", t.name, size, m.name), "%", rates[i])
		r.add(f)
		row = append(row, fmt.Sprintf("%.1f", f.Value))
	}

	r.row(row...)

	if !results {
		return nil
	}

	for i, m := range ratioMakers {
		if m.name != "otter" {
			continue
		}

		rounds, err := ratios(rates[0], rates[i])
		if err != nil {
			return err
		}

		f := newFigure("ratio."+t.name+".vs_otter", "ratio", rounds)
		r.add(f)
		r.result(f.Name, f.Value)
	}

	return nil
}

func ratioOurs(how cache.Eviction) func(context.Context, int) (*ratioSubject, error) {
	return func(ctx context.Context, size int) (*ratioSubject, error) {
		loaded := false
		load := cache.Func(func(_ context.Context, key int) (int, error) {
			loaded = true // the reader waits for it
			return key, nil
		})
		c, err := cache.New(bus.NewLocal(), topic, load, &cache.Config[int, int]{Size: size, TTL: cache.Forever, Eviction: how})
		if err != nil {
			return nil, err
		}

		return &ratioSubject{
			read: func(key int) bool {
				loaded = false
				_, err := c.Get(ctx, key)
				return err == nil && !loaded
			},
			close: func() { _ = c.Close() },
		}, nil
	}
}

func ratioGolangLRU(_ context.Context, size int) (*ratioSubject, error) {
	c, err := lru.New[int, int](size)
	if err != nil {
		return nil, err
	}
	return plainSubject(c.Get, func(key int) { c.Add(key, key) }, func() {}), nil
}

func ratio2Q(_ context.Context, size int) (*ratioSubject, error) {
	c, err := lru.New2Q[int, int](size)
	if err != nil {
		return nil, err
	}
	return plainSubject(c.Get, func(key int) { c.Add(key, key) }, func() {}), nil
}

// ratioOtter does its maintenance at once: otherwise the trace would be over before it has evicted anything.
func ratioOtter(_ context.Context, size int) (*ratioSubject, error) {
	c, err := otter.New(&otter.Options[int, int]{MaximumSize: size, Executor: func(f func()) { f() }})
	if err != nil {
		return nil, err
	}
	return plainSubject(c.GetIfPresent, func(key int) { c.Set(key, key) }, func() { c.StopAllGoroutines() }), nil
}

func ratioTheine(_ context.Context, size int) (*ratioSubject, error) {
	c, err := theine.NewBuilder[int, int](int64(size)).Build()
	if err != nil {
		return nil, err
	}
	return plainSubject(c.Get, func(key int) {
		c.Set(key, key, 1)
		c.Wait()
	}, c.Close), nil
}

// ratioRistretto waits for each write: ristretto drops some otherwise.
func ratioRistretto(_ context.Context, size int) (*ratioSubject, error) {
	c, err := ristretto.NewCache(&ristretto.Config[int, int]{
		NumCounters: int64(10 * size), MaxCost: int64(size), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return plainSubject(c.Get, func(key int) {
		c.Set(key, key, 1)
		c.Wait()
	}, c.Close), nil
}

func plainSubject(get func(int) (int, bool), add func(int), end func()) *ratioSubject {
	return &ratioSubject{close: end, read: func(key int) bool {
		if _, ok := get(key); ok {
			return true
		}
		add(key)
		return false
	}}
}
