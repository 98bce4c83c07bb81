package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/lock"
)

// growthPlan is how large things get in the command growth.
type growthPlan struct {
	Keys     []int // that a cache holds
	Tags     []int // of each value
	Tagged   int   // values that have them
	Events   []int // of a transaction
	Topics   []int // that a pod subscribes to
	Logged   []int // events in the log
	Sessions []int // rows
	Leases   []int // that a process holds
	Samples  int
	Beats    beatPlan // of the leases
}

func growthCommand(o *options) *cobra.Command {
	var parts []string
	most := 10_000_000
	c := &cobra.Command{
		Use:   "growth",
		Short: "what becomes dearer when things grow: keys, tags, events of a transaction, topics, the log, sessions, leases",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := growthPlan{
				Keys: []int{10_000, 100_000, 1_000_000, 10_000_000}, Tags: []int{0, 1, 4, 16}, Tagged: 100_000,
				Events: []int{1, 10, 100, 1000, 10_000}, Topics: []int{1, 100, 10_000}, Logged: []int{10_000, 100_000, 1_000_000, 10_000_000},
				Sessions: []int{10_000, 100_000, 1_000_000, 10_000_000}, Leases: []int{1, 100, 1000, 10_000, 50_000}, Samples: 200,
				Beats: beatPlan{Beats: 7, TTL: 9 * time.Second},
			}
			if o.short {
				plan.Keys, plan.Tagged, plan.Topics = []int{10_000, 100_000, 1_000_000}, 20_000, []int{1, 100, 1000}
				plan.Logged, plan.Sessions, plan.Leases = []int{10_000, 300_000}, []int{10_000, 100_000}, []int{1, 100, 1000}
				plan.Samples, plan.Beats = 60, beatPlan{Beats: 3, TTL: 3 * time.Second}
			}

			for _, sizes := range []*[]int{&plan.Keys, &plan.Logged, &plan.Sessions} {
				*sizes = slices.DeleteFunc(*sizes, func(n int) bool { return n > most })
			}

			r, err := measureGrowth(cmd.Context(), plan, parts)
			if err != nil {
				return fmt.Errorf("growth: %w", err)
			}

			return o.keep(r)
		},
	}
	c.Flags().StringSliceVar(&parts, "parts", nil, "`NAMES` of what grows, all if there are none; report puts files of several parts together")
	c.Flags().IntVar(&most, "most", most, "the largest `NUMBER` of keys, of events in the log, and of sessions")
	return c
}

// growthPart measures one thing that grows.
type growthPart struct {
	name    string
	measure func(*growth, context.Context) error
}

// growthParts are in the order of the table.
var growthParts = []growthPart{
	{"keys", (*growth).keys},
	{"tags", (*growth).tags},
	{"events", (*growth).events},
	{"topics", (*growth).topics},
	{"log", (*growth).log},
	{"sessions", (*growth).sessions},
	{"leases", (*growth).leases},
}

func measureGrowth(ctx context.Context, plan growthPlan, parts []string) (_ *report, err error) {
	chosen, err := chooseGrowth(parts)
	if err != nil {
		return nil, err
	}

	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "growth", Counts: map[string]any{}, Parameters: map[string]any{"plan": plan}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}
	pool, err := s.pool(ctx, 8, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()

	g := growth{report: r, plan: plan, server: s, pool: pool}
	r.row("what grows", "how many", "what it costs", "", "first = 1")
	for _, part := range chosen {
		if err := part.measure(&g, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		r.Parts = append(r.Parts, part.name)
	}
	r.chart(g.chart())
	return r, nil
}

// chooseGrowth returns the parts of these names, all if there are none.
func chooseGrowth(names []string) ([]growthPart, error) {
	if len(names) == 0 {
		return growthParts, nil
	}

	var chosen []growthPart
	for _, part := range growthParts {
		if slices.Contains(names, part.name) {
			chosen = append(chosen, part)
		}
	}

	if len(chosen) < len(names) {
		return nil, fmt.Errorf("of the parts %v only %d are known", names, len(chosen))
	}

	return chosen, nil
}

// growth is what the parts share.
type growth struct {
	report *report
	plan   growthPlan
	server *server
	pool   *pgxpool.Pool
	lines  []series // of costs, the first of each being 1
}

// add notes a cost by size: in the table, beside the cost of the smallest size.
func (g *growth) add(what, cost, unit string, sizes []int, values [][]float64) {
	l := series{Name: what + ": " + cost}
	name := slug(what) + "." + slug(cost)
	for i, size := range sizes {
		f := newFigure(fmt.Sprintf("growth.%s.%d", name, size), unit, values[i])
		g.report.add(f)
		relative := f.Value / median(values[0])
		g.report.row(what, size, cost, f.String()+" "+unit, number(relative))
		l.X, l.Y = append(l.X, float64(size)), append(l.Y, rounded4(relative))
	}
	g.lines = append(g.lines, l)
	g.report.result("growth."+name, l.Y[len(l.Y)-1])
}

func (g *growth) chart() chart {
	p := panel{Kind: kindLines, X: "how many", Y: "cost, divided by that of the fewest", LogX: true, LogY: true, Lines: g.lines}
	return chart{Name: "growth", Title: "What becomes dearer when there is more: a flat line does not", Panels: []panel{p}}
}

// growthCache has integers as keys, so that they take no memory of their own.
type growthCache = cache.Cache[int, *thing]

func newGrowthCache(size int, tags []string) (*growthCache, error) {
	one := &thing{1}
	load := cache.LoaderFunc[int, *thing](func(context.Context, int) (cache.Loaded[*thing], error) {
		return cache.Loaded[*thing]{Value: one, Tags: tags}, nil
	})
	return cache.New(bus.NewLocal(), topic, load, &cache.Config[int, *thing]{Size: size, TTL: cache.Forever})
}

// fillCache returns the bytes that an entry takes.
func fillCache(ctx context.Context, keys int, tags []string) (_ *growthCache, bytes float64, err error) {
	before := heap()
	c, err := newGrowthCache(keys, tags)
	if err != nil {
		return nil, 0, err
	}
	for key := range keys {
		if _, err := c.Get(ctx, key); err != nil {
			return nil, 0, errors.Join(err, c.Close())
		}
	}
	return c, float64(heap()-before) / float64(max(c.Stats().Entries, 1)), nil
}

func (g *growth) keys(ctx context.Context) error {
	bytes, hits := make([][]float64, len(g.plan.Keys)), make([][]float64, len(g.plan.Keys))
	for i, keys := range g.plan.Keys {
		c, each, err := fillCache(ctx, keys, nil)
		if err != nil {
			return err
		}

		bytes[i] = append(bytes[i], each)
		step := keys/7919 + 7907 // from one end to the other: no two reads in a row are of neighbours
		for range 5 {
			const reads = 200_000
			begin := time.Now()

			for read := range reads {
				if _, err := c.Get(ctx, read*step%keys); err != nil {
					return errors.Join(err, c.Close())
				}
			}

			hits[i] = append(hits[i], float64(time.Since(begin).Nanoseconds())/reads)
		}

		if err := c.Close(); err != nil {
			return err
		}
	}

	g.add("keys", "memory of an entry", "bytes", g.plan.Keys, bytes)
	g.add("keys", "a hit", "ns", g.plan.Keys, hits)
	return nil
}

func (g *growth) tags(ctx context.Context) error {
	bytes, ends := make([][]float64, len(g.plan.Tags)), make([][]float64, len(g.plan.Tags))
	for i, n := range g.plan.Tags {
		tags := []string{}
		for tag := range n {
			tags = append(tags, "tag "+strconv.Itoa(tag))
		}

		c, each, err := fillCache(ctx, g.plan.Tagged, tags)
		if err != nil {
			return err
		}

		bytes[i] = append(bytes[i], each)
		for range g.plan.Samples {
			begin := time.Now()
			if _, err := c.InvalidateTags(ctx, "another"); err != nil {
				return errors.Join(err, c.Close())
			}
			ends[i] = append(ends[i], float64(time.Since(begin).Nanoseconds())/1e3)
		}

		if err := c.Close(); err != nil {
			return err
		}
	}

	g.add("tags of a value", "memory of an entry", "bytes", g.plan.Tags, bytes)
	g.add("tags of a value", "ending a tag", "µs", g.plan.Tags, ends)
	return nil
}

// events are the keys of one transaction: until its commit has returned, and for each.
func (g *growth) events(ctx context.Context) (err error) {
	p, err := startPod(ctx, g.pool, bus.Config{Name: "growth", Logger: warnings()}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	values := make([][]float64, len(g.plan.Events))
	for i, n := range g.plan.Events {
		keys := make([]string, n)
		for key := range keys {
			keys[key] = "key " + strconv.Itoa(key)
		}

		for range max(g.plan.Samples/(1+n/100), 3) {
			begin := time.Now()

			if _, err := p.InTx(ctx, func(tx *bus.Tx) error {
				tx.Invalidate(topic, keys...)
				return nil
			}); err != nil {
				return err
			}

			values[i] = append(values[i], float64(time.Since(begin).Nanoseconds())/1e3/float64(n))
		}
	}

	g.add("events of a transaction", "commit, for each event", "µs", g.plan.Events, values)
	return nil
}

// topics are subscriptions of a pod; one of them hears of an event.
func (g *growth) topics(ctx context.Context) error {
	values := make([][]float64, len(g.plan.Topics))
	for i, n := range g.plan.Topics {
		one, err := g.topicDelays(ctx, n)
		if err != nil {
			return err
		}
		values[i] = one
	}
	g.add("topics of a pod", "from commit to delivery", "µs", g.plan.Topics, values)
	return nil
}

func (g *growth) topicDelays(ctx context.Context, n int) (delays []float64, err error) {
	heard := make(chan time.Time, 1)
	p, err := startPod(ctx, g.pool, bus.Config{Name: "growth", Logger: warnings()}, func(bus.Delivery) { heard <- time.Now() })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	for other := range n - 1 {
		defer p.Subscribe("topic "+strconv.Itoa(other), bus.SubscriberFuncs{})() //nolint:gocritic // all are there until the end
	}

	for range g.plan.Samples {
		if _, err := p.InTx(ctx, func(tx *bus.Tx) error {
			_, err := tx.Exec(ctx, update, 1)
			tx.Invalidate(topic, "key")
			return err
		}); err != nil {
			return nil, err
		}

		begin := time.Now()
		select {
		case at := <-heard:
			delays = append(delays, max(float64(at.Sub(begin).Nanoseconds())/1e3, 1)) // it may be there already
		case <-time.After(patience):
			return nil, errors.New("an event was not delivered")
		}
	}

	return delays, nil
}

// log is the events that are kept: what a commit with an event costs.
func (g *growth) log(ctx context.Context) error {
	values := make([][]float64, len(g.plan.Logged))
	for i, n := range g.plan.Logged {
		if _, err := g.pool.Exec(ctx, `TRUNCATE pgcoherence.event`); err != nil {
			return err
		}

		_, err := g.pool.Exec(ctx, `INSERT INTO pgcoherence.event (n, origin, topic, keys)
			SELECT i, '00000000-0000-0000-0000-000000000001', 'other', ARRAY['key ' || i] FROM generate_series(1, $1::int) AS i`, n)
		if err != nil {
			return err
		}
		if _, err := g.pool.Exec(ctx, `VACUUM ANALYZE pgcoherence.event`); err != nil {
			return err
		}

		one := &ours{pool: g.pool}
		if one.pod, err = startPod(ctx, g.pool, bus.Config{Name: "growth", Logger: warnings()}, nil); err != nil {
			return err
		}

		for id := range 5 * g.plan.Samples {
			begin := time.Now()
			if err := one.transact(ctx, int64(id)); err != nil {
				return errors.Join(err, one.pod.stop())
			}
			values[i] = append(values[i], float64(time.Since(begin).Nanoseconds())/1e3)
		}

		if err := one.pod.stop(); err != nil {
			return err
		}
	}

	g.add("events in the log", "a transaction with an event", "µs", g.plan.Logged, values)
	_, err := g.pool.Exec(ctx, `TRUNCATE pgcoherence.event`)
	return err
}

// sessions are rows; each size has a database of its own.
func (g *growth) sessions(ctx context.Context) error {
	cold, lists := make([][]float64, len(g.plan.Sessions)), make([][]float64, len(g.plan.Sessions))
	for i, rows := range g.plan.Sessions {
		r := &report{Counts: map[string]any{}}
		if err := g.sessionRows(ctx, r, rows); err != nil {
			return err
		}

		one := run{Reports: []*report{r}}
		f, _ := one.figure("session.cold_us")
		list, ok := one.result("session.list_ms")
		if len(f.Rounds) == 0 || !ok {
			return errors.New("sessions were not measured")
		}

		cold[i], lists[i] = f.Rounds, []float64{list}
	}

	g.add("sessions", "a read that no memory serves", "µs", g.plan.Sessions, cold)
	g.add("sessions", "the list of a user", "ms", g.plan.Sessions, lists)
	return nil
}

func (g *growth) sessionRows(ctx context.Context, r *report, rows int) (err error) {
	other, err := g.server.beside(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.drop()) }()

	pods, err := startSessionPods(ctx, other)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pods.stop()) }()

	plan := sessionPlan{Rows: rows, Cold: min(20*g.plan.Samples, rows), Lists: g.plan.Samples}
	if err := fillSessions(ctx, pods.all[0], plan); err != nil {
		return err
	}

	return measureSessionRows(ctx, r, plan, pods.all[0])
}

// leases are those of one process, which renews all of them in one beat.
func (g *growth) leases(ctx context.Context) error {
	values := make([][]float64, len(g.plan.Leases))
	for i, leases := range g.plan.Leases {
		r := &report{Counts: map[string]any{}}
		plan := g.plan.Beats
		plan.Leases = leases
		if err := g.beats(ctx, r, plan); err != nil {
			return err
		}

		at := slices.IndexFunc(r.Results, func(one result) bool { return one.Name == "lock.heartbeat_ms."+strconv.Itoa(leases) })
		if at < 0 {
			return errors.New("beats were not measured")
		}

		values[i] = []float64{r.Results[at].Value}
	}

	g.add("leases of a process", "a beat that renews all", "ms", g.plan.Leases, values)
	return nil
}

func (g *growth) beats(ctx context.Context, r *report, plan beatPlan) (err error) {
	other, err := g.server.beside(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.drop()) }()

	pool, err := other.pool(ctx, 4, nil)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: warnings()}); err != nil {
		return err
	}

	return measureBeats(ctx, r, pool, plan)
}
