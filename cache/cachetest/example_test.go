package cachetest_test

import (
	"context"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

// Two pods cache the names of users; one of them hears late.
func Example() {
	ctx := context.Background()
	names := map[string]string{"1": "Ada"} // the database
	load := cache.Func(func(_ context.Context, id string) (string, error) { return names[id], nil })

	cluster := cachetest.NewCluster(2)
	a, err := cache.New(cluster.Bus(0), "users", load, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	b, err := cache.New(cluster.Bus(1), "users", load, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	show := func(when string) {
		onA, _ := a.Get(ctx, "1")
		onB, _ := b.Get(ctx, "1")
		fmt.Printf("%s: a has %s, b has %s\n", when, onA, onB)
	}
	show("before")

	cluster.Bus(1).Pause()
	names["1"] = "Grace"
	if _, err := a.Invalidate(ctx, "1"); err != nil {
		fmt.Println(err)
		return
	}
	show("b lags")

	cluster.Bus(1).SetFresh(false) // it cannot prove any more that it is in sync
	show("b notices")

	cluster.Bus(1).Resume()
	cluster.Bus(1).SetFresh(true)
	show("b is back")
	// Output:
	// before: a has Ada, b has Ada
	// b lags: a has Grace, b has Ada
	// b notices: a has Grace, b has Grace
	// b is back: a has Grace, b has Grace
}

// Something else than a pod changes a row: a trigger, a job, psql.
func ExampleBus_Deliver() {
	ctx := context.Background()
	version := 1
	pod := cachetest.NewBus()
	c, err := cache.New(pod, "settings", cache.Func(func(context.Context, string) (int, error) { return version, nil }), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	before, _ := c.Get(ctx, "theme")
	version = 2
	held, _ := c.Get(ctx, "theme")
	if err := pod.Deliver(bus.Event{Topic: "settings", Keys: []string{"theme"}}); err != nil {
		fmt.Println(err)
		return
	}
	after, _ := c.Get(ctx, "theme")
	fmt.Println(before, held, after)
	// Output: 1 1 2
}

// Pods that share a tier load once. A tier that fails is no error for readers.
func ExampleMemoryTier() {
	ctx := context.Background()
	loads := 0
	load := cache.Func(func(_ context.Context, id string) (string, error) {
		loads++
		return "value of " + id, nil
	})
	tier := cachetest.NewMemoryTier()
	cluster := cachetest.NewCluster(2)
	for _, pod := range cluster.Buses() {
		c, err := cache.New(pod, "things", load, &cache.Config[string, string]{Tier: tier})
		if err != nil {
			fmt.Println(err)
			return
		}

		value, err := c.Get(ctx, "1")
		fmt.Println(value, err, loads)

		if err := c.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// value of 1 <nil> 1
	// value of 1 <nil> 1
}
