package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/status"
)

// podVariable marks a process as a pod and contains its podConfig. In the arguments every user of the machine could read
// the DSN.
const podVariable = "PGCOHERENCE_EXAMPLE_POD"

// podConfig is a pod's configuration, from the parent.
type podConfig struct {
	Name string
	DSN  string
	Addr string // where to listen
	// Token opens the status pages.
	Token string
}

// pod is one process of the application: a pool, a bus, a cache, and an HTTP server.
type pod struct {
	name     string
	pool     *pgxpool.Pool
	bus      *bus.Postgres
	accounts *accounts
	pages    *status.Handler
}

// podMain is the main function of a pod.
func podMain(config string) int {
	var cfg podConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintf(os.Stderr, "pods: %s: %v\n", podVariable, err)
		return 2
	}
	ctx, cancel := demo.Leash()
	defer cancel()
	if err := runPod(ctx, cfg); err != nil {
		fmt.Fprintf(os.Stderr, "pods: pod %s: %v\n", cfg.Name, err)
		return 1
	}
	return 0
}

func runPod(ctx context.Context, cfg podConfig) error {
	poolConfig, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return err
	}

	poolConfig.MaxConns = 6
	poolConfig.ConnConfig.ConnectTimeout = time.Second
	poolConfig.ConnConfig.RuntimeParams["pods.publish"] = "on" // the trigger in account.sql leaves its writes out
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return err
	}
	defer pool.Close()

	b, err := bus.NewPostgres(pool, &bus.Config{
		Name:   cfg.Name,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}

	p := &pod{name: cfg.Name, pool: pool, bus: b}
	if p.accounts, err = newAccounts(b, pool); err != nil {
		return err
	}

	p.pages, err = status.New(b, &status.Config{Name: cfg.Name, Token: cfg.Token, Caches: []status.Cache{p.accounts}})
	if err != nil {
		return errors.Join(err, p.accounts.Close())
	}

	return errors.Join(p.serve(ctx, cfg.Addr), p.accounts.Close())
}

// serve runs the bus and the HTTP server until ctx ends or one of them does.
func (p *pod) serve(ctx context.Context, addr string) error {
	listener, err := listen(ctx, addr)
	if err != nil {
		return err
	}

	fmt.Println(listener.Addr()) // the parent waits for this line
	server := &http.Server{Handler: p.routes(), ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var wg sync.WaitGroup
	var busErr, pagesErr, serveErr error
	wg.Go(func() {
		defer cancel()
		busErr = p.bus.Run(ctx)
	})
	wg.Go(func() {
		pagesErr = p.pages.Run(ctx) // collects history, and replies to the pages of other pods
	})

	wg.Go(func() {
		defer cancel()
		if serveErr = server.Serve(listener); errors.Is(serveErr, http.ErrServerClosed) {
			serveErr = nil
		}
	})

	<-ctx.Done()
	p.pages.Drain() // open live pages would delay the shutdown
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()

	if server.Shutdown(grace) != nil {
		_ = server.Close() // a request takes longer than the grace
	}

	wg.Wait()
	return errors.Join(busErr, pagesErr, serveErr)
}

// listen listens on the pod's previous address, or on a free port if another process has it now.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		l, err = config.Listen(ctx, "tcp", anyAddr)
	}
	return l, err
}

// anyAddr is a free port of this machine.
const anyAddr = "127.0.0.1:0"
