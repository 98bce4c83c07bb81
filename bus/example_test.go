package bus_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// A program that runs as one pod, or a test, needs no database for its bus.
func ExampleNewLocal() {
	ctx := context.Background()
	b := bus.NewLocal()
	heard := make(chan bus.Delivery, 1)
	defer b.Subscribe("users", bus.SubscriberFuncs{OnInvalidate: func(d bus.Delivery) { heard <- d }})()

	tx, _ := b.Begin(ctx)
	tx.Invalidate("users", "42", "43", "42")
	if err := tx.Commit(ctx); err != nil {
		fmt.Println(err)
	}
	d := <-heard
	fmt.Println(d.Topic, d.Keys)
	// Output: users [42 43]
}

// Keys are checked before anything is sent.
func ExampleLocal_Publish() {
	_, err := bus.NewLocal().Publish(context.Background(), bus.Event{Topic: "", Keys: []string{"42"}})
	fmt.Println(err)
	// Output: bus: invalid event: topic is empty
}

// The data and what it makes invalid are committed together or not at all.
func ExamplePostgres_Begin() {
	rename := func(ctx context.Context, b *bus.Postgres, id, name string) error {
		tx, err := b.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing
		if _, err := tx.Exec(ctx, "UPDATE users SET name = $1 WHERE id = $2", name, id); err != nil {
			return err
		}
		tx.Invalidate("users", id)
		return tx.Commit(ctx)
	}
	_ = rename
}

// A pod makes one bus and runs it until it ends.
func ExamplePostgres_Run() {
	run := func(ctx context.Context, pool *pgxpool.Pool) error {
		if err := bus.Migrate(ctx, pool, nil); err != nil {
			return err
		}
		b, err := bus.NewPostgres(pool, &bus.Config{Name: "web-1"})
		if err != nil {
			return err
		}

		// Run returns an error only if it cannot start. Then Ready is never closed.
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		select {
		case <-b.Ready():
		case err := <-ended:
			return err
		}

		// Serve here, until ctx ends.
		return <-ended
	}
	_ = run
}
