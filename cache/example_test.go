package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// A Local bus is for tests and for programs that run as one pod; with several it is a *bus.Postgres.
func Example() {
	ctx, b := context.Background(), bus.NewLocal()
	names := map[int]string{1: "Ada"} // the table
	users, err := cache.New(b, "users", cache.Func(func(_ context.Context, id int) (string, error) {
		name, ok := names[id]
		if !ok {
			return "", cache.ErrNotFound
		}
		fmt.Println("loaded", name)
		return name, nil
	}), nil)
	if err != nil {
		panic(err)
	}
	defer users.Close()

	for range 2 {
		name, _ := users.Get(ctx, 1)
		fmt.Println("got", name)
	}
	names[1] = "Grace"
	if _, err = users.Invalidate(ctx, 1); err != nil {
		panic(err)
	}
	name, _ := users.Get(ctx, 1)
	fmt.Println("got", name)
	_, err = users.Get(ctx, 2)
	fmt.Println(errors.Is(err, cache.ErrNotFound))
	// Output:
	// loaded Ada
	// got Ada
	// got Ada
	// loaded Grace
	// got Grace
	// true
}

// A value that is made of several rows has a tag for each.
func ExampleCache_InvalidateTags() {
	ctx, loads := context.Background(), 0
	teams, err := cache.New(bus.NewLocal(), "teams", cache.LoaderFunc[string, []string](
		func(context.Context, string) (cache.Loaded[[]string], error) {
			loads++
			return cache.Loaded[[]string]{Value: []string{"Ada", "Grace"}, Tags: []string{"user:1", "user:2"}}, nil
		}), nil)
	if err != nil {
		panic(err)
	}
	defer teams.Close()

	_, _ = teams.Get(ctx, "blue")
	_, _ = teams.Get(ctx, "blue")
	_, _ = teams.InvalidateTags(ctx, "user:2")
	_, _ = teams.Get(ctx, "blue")
	fmt.Println(loads, "loads")
	// Output: 2 loads
}

// With a BatchLoader, GetMany asks once for all that is missing.
func ExampleCache_GetMany() {
	ctx := context.Background()
	prices, err := cache.New(bus.NewLocal(), "prices", cache.BatchFunc[string, int](
		func(_ context.Context, keys []string) (map[string]cache.Loaded[int], error) {
			fmt.Println("asked for", len(keys))
			found := make(map[string]cache.Loaded[int])
			for _, k := range keys {
				if k != "unknown" {
					found[k] = cache.Loaded[int]{Value: len(k)}
				}
			}
			return found, nil
		}), nil)
	if err != nil {
		panic(err)
	}
	defer prices.Close()

	_, _ = prices.Get(ctx, "tea")
	got, err := prices.GetMany(ctx, []string{"tea", "coffee", "milk", "unknown"})
	fmt.Println(got, err)
	// Output:
	// asked for 1
	// asked for 3
	// map[coffee:6 milk:4 tea:3] <nil>
}
