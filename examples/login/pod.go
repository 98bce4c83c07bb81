package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// podConfig is what the parent tells a pod.
type podConfig struct {
	Name   string
	DSN    string
	Plain  bool // cookies for plain HTTP
	Client clientConfig
}

// visitor is what a session holds beside its user.
type visitor struct {
	FullName string `json:"full_name"`
	Notice   string `json:"notice,omitempty"` // for the next page
}

// pod is one process of the application: a pool, a bus, a store of sessions, and an HTTP server. It keeps nothing else
// about anybody, so any pod can serve any request.
type pod struct {
	name     string
	pool     *pgxpool.Pool
	bus      *bus.Postgres
	store    *sessionstore.Store[visitor]
	sessions *httpsession.Manager[visitor]
	sso      *client
	log      *slog.Logger
	plain    bool            // cookies for plain HTTP
	ended    <-chan struct{} // closed when streams have to go
}

func runPod(ctx context.Context, cfg podConfig) (err error) {
	config, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return err
	}
	config.MaxConns = 6
	config.ConnConfig.ConnectTimeout = time.Second
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil)).With(slog.String("pod", cfg.Name))
	b, err := bus.NewPostgres(pool, &bus.Config{Name: cfg.Name, Logger: logger})
	if err != nil {
		return err
	}
	// With Encrypt a dump of the database gives away neither tokens nor what sessions and one-time values hold.
	store, err := sessionstore.New(b, pool, &sessionstore.Config[visitor]{Encrypt: true, Logger: logger})
	if err != nil {
		return err
	}
	p := &pod{name: cfg.Name, pool: pool, bus: b, store: store, sso: newClient(cfg.Client), log: logger, plain: cfg.Plain}
	defer p.sso.close()
	p.sessions, err = httpsession.New(store, &httpsession.Config{Insecure: cfg.Plain, Error: p.showProblem, Logger: logger})
	if err != nil {
		return err
	}
	if err := p.run(ctx); err != nil {
		return fmt.Errorf("pod %s: %w", cfg.Name, err)
	}
	return nil
}

// run runs the bus, the store and the HTTP server until ctx ends or one of them does.
func (p *pod) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.ended = ctx.Done()
	var wg sync.WaitGroup
	var errs [3]error
	for i, run := range []func(context.Context) error{
		p.bus.Run,
		p.store.Run,
		func(ctx context.Context) error { return serve(ctx, p.routes(), nil) }, // the front speaks HTTPS
	} {
		wg.Go(func() {
			defer cancel()
			errs[i] = run(ctx)
		})
	}
	wg.Wait()
	return cmp.Or(errors.Join(errs[:]...), p.store.Close())
}
