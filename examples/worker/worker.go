package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/lock"
)

// workerVariable marks a process as a worker and carries its workerConfig: not in its arguments, where everybody on the
// machine could read the DSN.
const workerVariable = "PGCOHERENCE_EXAMPLE_WORKER"

// workerConfig is what the parent sends a worker.
type workerConfig struct {
	Name      string
	DSN       string
	Unguarded bool
}

// workerMain is the main function of a worker.
func workerMain(config string) int {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintf(os.Stderr, "worker: %s: %v\n", workerVariable, err)
		return 2
	}
	ctx, cancel := demo.Leash()
	defer cancel()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)).With(slog.String("worker", cfg.Name)))
	if err := runWorker(ctx, cfg); err != nil {
		fmt.Fprintf(os.Stderr, "worker: %s: %v\n", cfg.Name, err)
		return 1
	}
	return 0
}

// runWorker runs what a program with leases runs, a bus and a Locker, and works on all shards, until ctx ends.
func runWorker(ctx context.Context, cfg workerConfig) error {
	config, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return err
	}
	config.MaxConns = shards + 2
	config.ConnConfig.ConnectTimeout = time.Second
	// The next owner waits for a guarded transaction; so one whose process stands still must not last.
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "1000"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	b, err := bus.NewPostgres(pool, &bus.Config{Name: cfg.Name})
	if err != nil {
		return err
	}
	locker, err := lock.New(b, pool, &lock.Config{Owner: cfg.Name, Options: lock.Options{TTL: leaseTTL}})
	if err != nil {
		return err
	}
	w := &worker{name: cfg.Name, pool: pool, locker: locker, unguarded: cfg.Unguarded}

	// The bus and the Locker outlive the work, so that shards are handed over in order.
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var services, work sync.WaitGroup
	var busErr, lockErr error
	services.Go(func() { defer cancel(); busErr = b.Run(running) })
	services.Go(func() { defer cancel(); lockErr = locker.Run(running) })
	for shard := range shards {
		work.Go(func() { w.own(ctx, shard) })
	}
	work.Wait()
	stopRunning()
	services.Wait()
	return errors.Join(busErr, lockErr)
}
