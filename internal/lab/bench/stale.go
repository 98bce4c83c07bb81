package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

// stalePlan is how much the command stale measures.
type stalePlan struct {
	Keys int           // of each case
	Late time.Duration // what a reader who came after the invalidation gets to join the load
	Lag  time.Duration // of the standby

	Schedule schedulePlan
}

func staleCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "stale",
		Short: "who serves old values: under a schedule of faults, after an invalidation that lands during a load, and from a standby that lags",
		Long: `A load begins and reads the old value; the value changes and is invalidated, by key, by a tag, all of it, or by the
reset of a bus that may have missed something; the load ends. Then "kept" counts the keys whose old value is still served, and
"joined" the readers who came after the invalidation and got the old value all the same.

Standby: each row is changed on the primary and invalidated, and read at once by a loader that reads from a standby which
is behind. "kept" counts the keys whose old value is served when the standby has caught up. Caches that know no snapshots
cannot tell.

Faults: one schedule hits all sides at once, each with a pod that reads and a pod that changes rows: connections that listen
are ended or go silent, Postgres and Redis are restarted, a standby is promoted, loads are slow, publishers die after their
commit, transactions are rolled back, a pooler stands in between. Every read is checked. It is stale if the value had been
replaced more than a quarter of a second before the read began; how each side is set up is printed with the table.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := stalePlan{
				Keys: 200, Late: 5 * time.Millisecond, Lag: 60 * time.Millisecond,
				Schedule: schedulePlan{Lead: time.Second, Length: 12 * time.Second, Watch: 6 * time.Second},
			}
			if o.short {
				plan.Keys, plan.Late = 50, 2*time.Millisecond
				plan.Schedule = schedulePlan{Lead: 500 * time.Millisecond, Length: 4 * time.Second, Watch: 3 * time.Second}
			}
			r, err := measureStale(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("stale: %w", err)
			}
			return o.keep(r)
		},
	}
}

// Ways to invalidate.
const (
	byKey   = "key"
	byTag   = "tag"
	byAll   = "all"
	byReset = "reset"
)

// tally is how many of the keys of a case were stale.
type tally struct{ kept, joined, of int }

func (t *tally) String() string {
	if t == nil {
		return "–"
	}
	return fmt.Sprintf("%d+%d/%d", t.kept, t.joined, t.of)
}

func measureStale(ctx context.Context, plan stalePlan) (_ *report, err error) {
	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	r := &report{Command: "stale", Counts: map[string]any{}, Parameters: map[string]any{
		"keys": plan.Keys, "lag": plan.Lag.String(), "schedule": plan.Schedule,
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}

	found := map[string]map[string]*tally{}
	for _, how := range []string{byKey, byTag, byAll, byReset} {
		for _, make := range []maker{lateOurs, makeFlight, makeOtter, makeSturdyc, makeRedisCache} {
			name, t, err := lateFills(ctx, plan, make, how)
			if err != nil {
				return nil, err
			}
			if found[name] == nil {
				found[name] = map[string]*tally{}
			}

			found[name][how] = t
		}
	}

	behind, why, err := lagging(ctx, s, plan)
	if err != nil {
		return nil, err
	}
	if why != "" {
		r.Counts["standby left out"] = why
	}

	r.row("cache", "key", "tag", "all", "reset", "standby")

	for _, name := range []string{"ours", "singleflight+golang-lru", "otter", "sturdyc", "go-redis/cache"} {
		f := found[name]
		r.row(name, f[byKey], f[byTag], f[byAll], f[byReset], behind[name])

		sum := 0
		for _, t := range []*tally{f[byKey], f[byTag], f[byAll], f[byReset], behind[name]} {
			if t != nil {
				sum += t.kept + t.joined
			}
		}

		r.add(newFigure("stale."+name, "stale answers", []float64{float64(sum)}))
		r.result("stale."+map[string]string{
			"ours": "ours", "singleflight+golang-lru": "singleflight", "otter": "otter", "sturdyc": "sturdyc", "go-redis/cache": "redis_cache",
		}[name], float64(sum))
	}

	why, err = measureSchedule(ctx, r, plan.Schedule)
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	if why != "" {
		r.Counts["faults left out"] = why
	}

	r.Counts["cells"] = "keys whose old value was kept + later readers who got it / keys; – cannot be done"
	return r, nil
}

// lateOurs has all ways to invalidate, on a bus that can be reset.
func lateOurs(size int, load loadFunc) (*subject, error) {
	b := cachetest.NewBus()
	c, err := cache.New(b, topic, cache.LoaderFunc[string, *thing](func(ctx context.Context, key string) (cache.Loaded[*thing], error) {
		v, err := load(ctx, key)
		return cache.Loaded[*thing]{Value: v, Tags: []string{"of " + key}}, err
	}), oursConfig(size))
	if err != nil {
		return nil, err
	}

	ctx := context.Background()
	return &subject{
		name: "ours", get: c.Get,
		invalidate:    func(key string) { must(c.Invalidate(ctx, key)) },
		invalidateTag: func(tag string) { must(c.InvalidateTags(ctx, tag)) },
		invalidateAll: func() { must(c.InvalidateAll(ctx)) },
		reset:         func() { b.Reset(bus.ReasonPruned) },
		close:         func() { _ = c.Close() },
	}, nil
}

// source is a database of versions whose first read of a key can be held.
type source struct {
	mu       sync.Mutex
	versions map[string]int64
	holds    map[string]*hold
}

// hold is one read that has begun and does not end.
type hold struct{ began, release chan struct{} }

func (s *source) load(ctx context.Context, key string) (*thing, error) {
	s.mu.Lock()
	v, h := s.versions[key], s.holds[key]
	delete(s.holds, key)
	s.mu.Unlock()
	if h != nil {
		close(h.began)
		select {
		case <-h.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &thing{v}, nil
}

// lateFills runs the case for every key. The tally is nil if the cache cannot be invalidated that way.
func lateFills(ctx context.Context, plan stalePlan, make maker, how string) (string, *tally, error) {
	src := &source{versions: map[string]int64{}, holds: map[string]*hold{}}
	s, err := make(10*plan.Keys, src.load)
	if err != nil {
		return "", nil, err
	}
	defer s.end()

	invalidate := map[string]func(key string){
		byKey: s.invalidate, byTag: nil, byAll: ignoring(s.invalidateAll), byReset: ignoring(s.invalidateAll),
	}[how]
	if s.reset != nil && how == byReset {
		invalidate = ignoring(s.reset) // the others drop all when their bus has reconnected
	}
	if s.invalidateTag != nil && how == byTag {
		invalidate = func(key string) { s.invalidateTag("of " + key) }
	}
	if invalidate == nil {
		return s.name, nil, nil
	}

	t := &tally{of: plan.Keys}
	for i := range plan.Keys {
		if err := lateFill(ctx, plan, s, src, "key:"+strconv.Itoa(i), invalidate, t); err != nil {
			return "", nil, fmt.Errorf("%s by %s: %w", s.name, how, err)
		}
	}

	return s.name, t, nil
}

func ignoring(f func()) func(string) {
	if f == nil {
		return nil
	}
	return func(string) { f() }
}

func lateFill(ctx context.Context, plan stalePlan, s *subject, src *source, key string, invalidate func(string), t *tally) error {
	h := &hold{make(chan struct{}), make(chan struct{})}
	src.mu.Lock()
	src.versions[key], src.holds[key] = 1, h
	src.mu.Unlock()

	type answer struct {
		v   *thing
		err error
	}

	first, later := make(chan answer, 1), make(chan answer, 1)
	get := func(to chan<- answer) {
		v, err := s.get(ctx, key)
		to <- answer{v, err}
	}
	go get(first)

	select {
	case <-h.began:
	case <-ctx.Done():
		return ctx.Err()
	}

	src.mu.Lock()
	src.versions[key] = 2
	src.mu.Unlock()
	invalidate(key)
	go get(later)
	sleep(ctx, plan.Late)
	close(h.release)

	one, two := <-first, <-later
	if err := errors.Join(one.err, two.err); err != nil {
		return err
	}

	last, err := s.get(ctx, key)
	if err != nil {
		return err
	}
	if two.v.version == 1 {
		t.joined++
	}
	if last.version == 1 {
		t.kept++
	}
	if !slices.Contains([]int64{1, 2}, last.version) {
		return fmt.Errorf("version %d", last.version)
	}

	return nil
}
