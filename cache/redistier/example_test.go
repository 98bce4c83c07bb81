package redistier_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
)

// With a Redis in the environment its caches have a second level; without one they work all the same.
func ExampleFromEnv() {
	tier, err := redistier.FromEnv("")
	switch {
	case errors.Is(err, redistier.ErrNoURL):
		fmt.Println("PGCOHERENCE_REDIS_URL is not set: no tier")
	case err != nil:
		fmt.Println(err)
		return
	default:
		defer tier.Close()
	}

	var cfg cache.Config[string, string]
	if tier != nil { // a nil *Tier in the interface would not be nil
		cfg.Tier = tier
	}
	load := cache.Func(func(_ context.Context, id string) (string, error) { return "user " + id, nil })
	users, err := cache.New(bus.NewLocal(), "users", load, &cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer users.Close()
	fmt.Println(users.Get(context.Background(), "1"))
	// Output:
	// PGCOHERENCE_REDIS_URL is not set: no tier
	// user 1 <nil>
}
