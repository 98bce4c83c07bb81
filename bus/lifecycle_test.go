package bus_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestAnyOrder calls every method of a bus from many goroutines, in random order, before, during and after Run, also from
// its own subscribers. Nothing panics, races, or hangs; Run ends; and every goroutine ends with it (goleak).
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	for round := range 10 {
		anyOrder(t, pool, uint64(round))
	}
}

func anyOrder(t *testing.T, pool *pgxpool.Pool, seed uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := quick("any")
	cfg.QueueSize = 3
	p := prepare(t, pool, cfg)
	run, end := context.WithCancel(ctx)
	defer end()
	var runs sync.WaitGroup

	// A subscriber that calls back, in both of its methods.
	var calls atomic.Int32
	again := func() {
		if calls.Add(1) < 20 {
			_, _ = p.Publish(ctx, bus.Event{Topic: "again", Keys: []string{"1"}})
			p.Subscribe("again", bus.SubscriberFuncs{})()
			p.Stats()
		}
	}
	defer p.Subscribe("again", bus.SubscriberFuncs{
		OnInvalidate: func(bus.Delivery) { again() }, OnReset: func(bus.Reason) { again() },
	})()

	methods := map[string]func(ctx context.Context, r *rand.Rand){
		"Run":  func(context.Context, *rand.Rand) { runs.Go(func() { _ = p.Run(run) }) },
		"stop": func(context.Context, *rand.Rand) { end() },
		"Publish": func(ctx context.Context, r *rand.Rand) {
			receipt, _ := p.Publish(ctx, bus.Event{Topic: topicOf(r), Keys: []string{"1"}})
			_ = p.Confirm(ctx, receipt)
		},
		"InTx": func(ctx context.Context, r *rand.Rand) {
			_, _ = p.InTx(ctx, func(tx *bus.Tx) error {
				tx.Invalidate(topicOf(r), "1")
				_, err := tx.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = $1", fmt.Sprint(r.IntN(100)))
				return err
			})
		},
		"Stage": func(ctx context.Context, r *rand.Rand) {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return
			}
			staged, _ := p.Stage(ctx, tx, bus.Event{Topic: topicOf(r), All: true})
			if err := tx.Commit(ctx); err == nil {
				staged.Committed()
			}
		},
		"Subscribe": func(_ context.Context, r *rand.Rand) {
			unsubscribe := p.Subscribe(topicOf(r), bus.SubscriberFuncs{OnInvalidate: func(bus.Delivery) { time.Sleep(time.Millisecond) }})
			if r.IntN(2) == 0 {
				unsubscribe = p.Subscribe(topicOf(r), bus.Independent(&recorder{}))
			}
			if r.IntN(3) > 0 {
				unsubscribe()
				unsubscribe()
			}
		},
		"WatchState": func(_ context.Context, r *rand.Rand) {
			states, stop := p.WatchState()
			<-states
			if r.IntN(2) == 0 {
				stop()
			}
			stop()
		},
		"Confirm": func(ctx context.Context, _ *rand.Rand) { _ = p.Confirm(ctx, bus.Receipt{}) },
		"Pods":    func(ctx context.Context, _ *rand.Rand) { _, _ = p.Pods(ctx) },
		"Ready": func(ctx context.Context, _ *rand.Rand) {
			select {
			case <-p.Ready():
			case <-ctx.Done():
			}
		},
		"Collect": func(context.Context, *rand.Rand) {
			c := make(chan prometheus.Metric, 1000)
			p.Collect(c)
		},
		"readings": func(context.Context, *rand.Rand) {
			p.Fresh()
			_ = p.State().String()
			p.Stats()
			p.Resets()
			p.Topics()
			p.ID()
		},
	}
	names := slices.Sorted(maps.Keys(methods))

	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 25 {
				name := names[r.IntN(len(names))]
				if name == "stop" && r.IntN(4) > 0 {
					name = "Publish"
				}
				call, done := context.WithTimeout(ctx, time.Duration(r.IntN(200))*time.Millisecond)
				methods[name](call, r)
				done()
			}
		})
	}
	wg.Wait()
	end()
	runs.Wait()
	require.NoError(t, ctx.Err(), "seed %d", seed)
}

func topicOf(r *rand.Rand) string { return []string{"item", "again", "other"}[r.IntN(3)] }

// TestEndBesidePublishers ends many buses while others subscribe and publish, so that queues begin to be worked off at the
// very moment at which the end waits for them. It needs no database.
func TestEndBesidePublishers(t *testing.T) {
	t.Parallel()
	pool := lazyPool(t)
	for range 300 {
		p, err := bus.NewPostgres(pool, quick("end"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				defer p.Subscribe("item", bus.SubscriberFuncs{})()
				for i := range uint64(20) {
					if g == 0 && i == 10 {
						cancel()
					}
					p.Committed(i, bus.Event{Topic: "item", Keys: []string{"1"}})
				}
			})
		}

		_ = p.Run(ctx)
		cancel()
		wg.Wait()
	}
}
