package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// hitPlan is how much the command hit measures.
type hitPlan struct {
	Rounds  int
	Length  time.Duration // of one variant in one round
	Entries int
	Readers []int // goroutines
	Scraped int   // rounds with and without a scrape
}

// What is scraped is so four times a second, sixty times as often as people set. The cache that is compared is the very
// same: two of them differ by more than what scraping costs.
const (
	scrapeInterval = 250 * time.Millisecond
	scrapeReaders  = 2
)

func hitCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "hit",
		Short: "reading what a cache holds, beside other caches, with a bus that runs and metrics that are scraped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := hitPlan{Rounds: 41, Length: 100 * time.Millisecond, Entries: 10_000, Readers: []int{1, 2, 8}, Scraped: 61}
			if o.short {
				plan.Rounds, plan.Length, plan.Scraped = 21, 50*time.Millisecond, 21
			}

			r, err := measureHit(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("hit: %w", err)
			}

			return o.keep(r)
		},
	}
}

// hitter is a variant of hit: a cache that holds all keys.
type hitter struct {
	*subject
	ns    map[int][]float64 // of one read, by readers
	bytes float64           // allocations of one read
}

func measureHit(ctx context.Context, plan hitPlan) (_ *report, err error) {
	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "hit", Counts: map[string]any{}, Parameters: map[string]any{
		"rounds": plan.Rounds, "length": plan.Length.String(), "entries": plan.Entries, "readers": plan.Readers,
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}
	pool, err := s.pool(ctx, 2, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	pod, err := startPod(ctx, pool, bus.Config{Name: "hit"}, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pod.stop()) }()

	keys := hitKeys(plan.Entries)
	hitters, err := startHitters(ctx, pod, keys)
	defer func() {
		for _, h := range hitters {
			h.end()
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, h := range hitters {
		if h.bytes, err = h.allocations(ctx, keys); err != nil {
			return nil, err
		}
	}
	for round := range plan.Rounds {
		for _, readers := range plan.Readers {
			for i := range hitters {
				if err := hitters[(i+round)%len(hitters)].sample(ctx, keys, readers, plan.Length); err != nil {
					return nil, err
				}
			}
		}
	}
	plain, scraped, err := measureScraped(ctx, hitters[0], keys, plan.Scraped)
	if err != nil {
		return nil, err
	}
	return r, errors.Join(reportHits(r, plan, hitters), reportScraped(r, plain, scraped), measureHotKey(ctx, pod, plan.Rounds, plan.Length, r))
}

func hitKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	rand.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func startHitters(ctx context.Context, pod *pod, keys []string) (hitters []*hitter, err error) {
	load := func(context.Context, string) (*thing, error) { return &thing{1}, nil }
	for _, make := range []maker{oursOn(pod), makeRaw, makeClocked, makeGolangLRU, makeExpirable, makeOtter, makeSturdyc, makeTheine, makeRistretto} {
		made, err := make(2*len(keys), load) // room so that sharded caches hold them all, too
		if err != nil {
			return hitters, err
		}
		hitters = append(hitters, &hitter{subject: made, ns: map[int][]float64{}})
	}

	for _, h := range hitters {
		for _, key := range keys {
			if err := h.put(ctx, key, &thing{1}); err != nil {
				return hitters, err
			}
		}
	}

	return hitters, nil
}

// measureScraped reads for a scrapeInterval from a cache while its metrics are gathered once, and as long without, in
// turn.
func measureScraped(ctx context.Context, h *hitter, keys []string, rounds int) (plain, scraped []float64, err error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(h.collector); err != nil {
		return nil, nil, err
	}

	one := &hitter{subject: h.subject, ns: map[int][]float64{}}
	for round := range 2 * rounds {
		scrapes := (round+round/2)%2 == 0 // first one of them is first, then the other
		gathered := make(chan error, 1)
		if scrapes {
			time.AfterFunc(scrapeInterval/2, func() {
				_, err := registry.Gather()
				gathered <- err
			})
		} else {
			gathered <- nil
		}

		if err := errors.Join(one.sample(ctx, keys, scrapeReaders, scrapeInterval), <-gathered); err != nil {
			return nil, nil, err
		}

		if ns := one.ns[scrapeReaders][round]; scrapes {
			scraped = append(scraped, ns)
		} else {
			plain = append(plain, ns)
		}
	}

	return plain, scraped, nil
}

// allocations is how many there are per read.
func (h *hitter) allocations(ctx context.Context, keys []string) (float64, error) {
	var before, after runtime.MemStats
	const reads = 200_000
	least := -1.0
	for range 3 { // others allocate, too: the bus beats
		runtime.ReadMemStats(&before)

		for i := range reads {
			if _, err := h.get(ctx, keys[i%len(keys)]); err != nil {
				return 0, fmt.Errorf("%s: %w", h.name, err)
			}
		}

		runtime.ReadMemStats(&after)

		if n := float64(after.Mallocs-before.Mallocs) / reads; least < 0 || n < least {
			least = n
		}
	}

	if least < 0.01 { // a beat, a timer
		least = 0
	}

	return least, nil
}

// sample reads for a while from many goroutines, and notes the nanoseconds between two reads of all of them together.
func (h *hitter) sample(ctx context.Context, keys []string, readers int, length time.Duration) error {
	counts := make([]int, readers)
	begin := time.Now()
	err := together(readers, func(reader int) error {
		at, reads := reader*len(keys)/readers, 0
		for reads == 0 || time.Since(begin) < length {
			for range 1000 {
				if at++; at >= len(keys) {
					at = 0
				}
				if _, err := h.get(ctx, keys[at]); err != nil {
					return fmt.Errorf("%s: %w", h.name, err)
				}
			}
			reads += 1000
		}

		counts[reader] = reads
		return nil
	})
	if err != nil {
		return err
	}

	total := 0
	for _, n := range counts {
		total += n
	}

	h.ns[readers] = append(h.ns[readers], float64(time.Since(begin).Nanoseconds())/float64(total))
	return ctx.Err()
}

func reportHits(r *report, plan hitPlan, hitters []*hitter) error {
	byName := map[string]*hitter{}
	r.row("cache", "readers", "ns between reads", "allocations")

	for _, readers := range plan.Readers {
		for _, h := range hitters {
			byName[h.name] = h
			f := newFigure(fmt.Sprintf("hit.ns.%s.%d", h.name, readers), "ns", h.ns[readers])
			r.add(f)
			r.row(h.name, readers, f.summary, number(h.bytes))
		}
	}

	r.chart(hitChart(plan, hitters))
	r.result("hit.allocs", byName["ours"].bytes)

	for _, one := range []struct {
		name, over, base string
		readers          int
	}{
		{"hit.ratio.raw", "ours", "mutex+simplelru", 1},
		{"hit.ratio.raw_clock", "ours", "mutex+simplelru+clock", 1},
		{"hit.ratio.expirable.2", "ours", "expirable", 2},
		{"hit.ratio.expirable.8", "ours", "expirable", 8},
		{"hit.ratio.golanglru.8", "ours", "golang-lru", 8},
		{"hit.ratio.otter.1", "ours", "otter", 1},
		{"hit.ratio.otter.2", "ours", "otter", 2},
		{"hit.ratio.otter.8", "ours", "otter", 8},
		{"hit.ratio.sturdyc.8", "ours", "sturdyc", 8},
		{"hit.ratio.theine.8", "ours", "theine", 8},
		{"hit.ratio.ristretto.8", "ours", "ristretto", 8},
	} {
		rounds, err := ratios(byName[one.over].ns[one.readers], byName[one.base].ns[one.readers])
		if err != nil {
			return err
		}
		f := newFigure(one.name, "ratio", rounds)
		r.add(f)
		r.result(one.name, f.Value)
	}

	return nil
}

func reportScraped(r *report, plain, scraped []float64) error {
	lost, err := ratios(scraped, plain)
	if err != nil {
		return err
	}

	for i := range lost {
		lost[i]-- // 0.01 is one per cent slower
	}

	f := newFigure("hit.ns.ours.scraped", "ns", scraped)
	r.add(f)
	r.row("ours, scraped every "+scrapeInterval.String(), scrapeReaders, f.summary, "")
	f = newFigure("hit.ns.ours.not_scraped", "ns", plain)
	r.add(f)
	r.row("ours, not scraped", scrapeReaders, f.summary, "")
	f = newFigure("hit.metrics_overhead", "ratio", lost)
	r.add(f)
	r.result(f.Name, f.Value)
	return nil
}

func hitChart(plan hitPlan, hitters []*hitter) chart {
	p := panel{Kind: kindLines, X: "goroutines that read", Y: "ns between two reads of all", LogX: true}
	for _, h := range hitters {
		l := series{Name: h.name}
		for _, readers := range plan.Readers {
			l.X = append(l.X, float64(readers))
			l.Y = append(l.Y, rounded4(median(h.ns[readers])))
		}
		p.Lines = append(p.Lines, l)
	}
	return chart{Name: "hit", Title: "A hit, on two processors: lower is better", Panels: []panel{p}}
}
