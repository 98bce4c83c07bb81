// Command quickstart is the smallest program with two buses: what one of them commits, both hear of.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	server, err := pgtest.Start(ctx, nil) // a Postgres to play with; you have one
	check(err)
	pool, err := pgxpool.New(ctx, server.DSN(""))
	check(err)
	check(bus.Migrate(ctx, pool, nil)) // once, at deployment

	var buses [2]*bus.Postgres // one in each pod, in real life
	var running sync.WaitGroup
	heard := make(chan string, 10)
	for i, name := range []string{"A", "B"} {
		b, err := bus.NewPostgres(pool, &bus.Config{Name: name})
		check(err)
		b.Subscribe("users", bus.SubscriberFuncs{OnInvalidate: func(d bus.Delivery) {
			heard <- fmt.Sprintf("%s: cached copies of %v are no longer valid", name, d.Keys)
		}})
		running.Go(func() { check(b.Run(ctx)) }) // until ctx ends
		<-b.Ready()
		buses[i] = b
	}

	tx, err := buses[0].Begin(ctx) // a pgx.Tx, and more: change the data here
	check(err)
	tx.Invalidate("users", "42")
	check(tx.Commit(ctx))
	fmt.Println(<-heard)
	fmt.Println(<-heard)

	cancel()
	running.Wait()
	pool.Close()
	check(server.Close())
}

// check ends the program if something went wrong.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
