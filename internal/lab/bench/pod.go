package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// topic is what the cache of the application's table is called.
const topic = "item"

// pod is a running bus with one subscriber.
type pod struct {
	*bus.Postgres
	cancel context.CancelFunc
	ended  chan error // Run's result, once
}

// startPod returns when the bus is in sync. The pool remains the caller's.
func startPod(ctx context.Context, pool *pgxpool.Pool, cfg bus.Config, f func(bus.Delivery)) (*pod, error) {
	b, err := bus.NewPostgres(pool, &cfg)
	if err != nil {
		return nil, err
	}

	unsubscribe := b.Subscribe(topic, bus.SubscriberFuncs{OnInvalidate: f})
	runCtx, cancel := context.WithCancel(ctx)
	p := &pod{Postgres: b, cancel: cancel, ended: make(chan error, 1)}
	go func() { // stop waits for it
		err := b.Run(runCtx)
		unsubscribe()
		p.ended <- err
	}()

	ctx, cancelWait := context.WithTimeout(ctx, patience)
	defer cancelWait()

	select {
	case <-b.Ready():
		return p, nil
	case err = <-p.ended:
		cancel()
		return nil, fmt.Errorf("bus ended before it was in sync: %w", errors.Join(err, context.Cause(ctx)))
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("bus not in sync: %w", context.Cause(ctx)), p.stop())
	}
}

// stop ends Run and waits for it.
func (p *pod) stop() error {
	p.cancel()
	return <-p.ended
}
