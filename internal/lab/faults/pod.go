package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// podConfig is what the parent tells a pod.
type podConfig struct {
	Name    string
	DSN     string // of the pools
	Listen  string // DSN of the connection that listens; empty: as the pools
	Control string // DSN of the bus' other connection; empty: as the pools
	Keys    int
	Timing  timing
	Direct  bool // the cache stands on the bus' own goroutine, as the library's do, and not behind a queue
	Loads   loadTimes
	Redis   string // URL of the tier; empty: none
	Conns   int    // of the pool that publishes
	Queue   int    // Config.QueueSize, 0 for the default
	Keep    time.Duration
	CatchUp int // Config.MaxCatchUp, 0 for the default
	Mode    pgx.QueryExecMode
	Guards  hook.Guards // off
	// CacheGuards are those of the cache that are off.
	CacheGuards hook.CacheGuards
	Lock        *lockConfig    // it takes leases; nil: it does not
	Session     *sessionConfig // it keeps sessions; nil: it does not
	Check       *checkerConfig // it does both, and checks its own reads; nil: it does not
	Verbose     bool
	Program     string `json:"-"` // which the pod is a process of; empty: this one
	// OnlyPublishes: its bus does not run.
	OnlyPublishes bool
	Backoff       time.Duration // Config.MaxBackoff, 0 for the default
	Dial          time.Duration // Config.ConnectTimeout, 0 for that of the rows
	Heard         io.Writer     `json:"-"` // takes what it logs; nil: nobody
}

// timing are the protocol's times: short, so that a row is short and its bound is tight.
type timing struct {
	StaleAfter, Beat, Probe, Sweep, Lease time.Duration
}

var quick = timing{
	StaleAfter: 900 * time.Millisecond, Beat: 150 * time.Millisecond, Probe: 300 * time.Millisecond,
	Sweep: 30 * time.Millisecond, Lease: 1200 * time.Millisecond,
}

// pod is one process of the application: a bus, a cache on it, and two pools. Its loads have a pool of their own, so
// that a starved pool of writers starves only them.
type pod struct {
	cfg      podConfig
	pool     *pgxpool.Pool
	reads    *pgxpool.Pool
	bus      *bus.Postgres
	items    *items
	recorder *recorder
	trouble  *trouble
	ctx      context.Context

	listens, controls atomic.Int64 // the bus' own connections that were made
}

func newPod(ctx context.Context, cfg podConfig) (*pod, error) {
	p := &pod{cfg: cfg, trouble: &trouble{}, ctx: ctx}
	p.recorder = newRecorder(p.trouble)
	var err error
	if p.pool, err = openPool(ctx, cfg, cfg.Conns); err != nil {
		return nil, err
	}

	if p.reads, err = openPool(ctx, cfg, 2); err != nil {
		p.pool.Close()
		return nil, err
	}

	level := slog.LevelError + 4 // what the bus says of a fault is no news here
	if cfg.Verbose || cfg.Session != nil && cfg.Check == nil {
		level = slog.LevelDebug
	}

	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	c := &bus.Config{
		Name:       cfg.Name,
		Logger:     log,
		StaleAfter: cfg.Timing.StaleAfter, BeatInterval: cfg.Timing.Beat, ProbeTimeout: cfg.Timing.Probe,
		SweepInterval: cfg.Timing.Sweep, PollInterval: 50 * time.Millisecond, ConnectTimeout: cmp.Or(cfg.Dial, 250*time.Millisecond),
		QueueSize: cfg.Queue, MaxCatchUp: cfg.CatchUp, Retention: cfg.Keep, MaxBackoff: cfg.Backoff,
	}
	if cfg.Listen != "" || cfg.Control != "" {
		c.Connect = p.connect
	}

	if p.bus, err = bus.NewPostgres(p.pool, c); err != nil {
		p.close()
		return nil, err
	}

	if w, ok := p.bus.Internal(hook.Token{}).(hook.Weakener); ok {
		w.Weaken(cfg.Guards)
	}

	var b bus.Bus = p.bus
	if !cfg.Direct {
		b = queuedBus{p.bus, p.trouble}
	}

	if p.items, err = newItems(b, p.reads, cfg, log); err != nil {
		p.close()
		return nil, err
	}

	return p, nil
}

func openPool(ctx context.Context, cfg podConfig, conns int) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}

	c.MaxConns = int32(conns)

	// A pod that is cut off leaves locks behind; they are not what is tested here.
	idle := 400 * time.Millisecond
	if cfg.Lock != nil && cfg.Lock.Idle > 0 {
		idle = cfg.Lock.Idle
	}

	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idle.Milliseconds(), 10)
	c.ConnConfig.ConnectTimeout = 500 * time.Millisecond
	c.ConnConfig.DefaultQueryExecMode = cfg.Mode
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}

	return pool, nil
}

// connect makes one of the bus' own connections, each on its own path. After a fault they come back in any order.
func (p *pod) connect(ctx context.Context) (*pgx.Conn, error) {
	dsn, made := p.cfg.Control, &p.controls
	if strings.HasPrefix(ownconn.NameOf(ctx), "pgcoherence listen ") {
		dsn, made = p.cfg.Listen, &p.listens
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err == nil {
		made.Add(1)
	}
	return conn, err
}

// run runs the bus until ctx ends.
func (p *pod) run() error {
	defer p.bus.Subscribe(topic, p.recorder)()
	if p.cfg.OnlyPublishes {
		<-p.ctx.Done()
		return nil
	}
	return p.bus.Run(p.ctx)
}

func (p *pod) close() {
	if p.items != nil {
		p.items.close()
	}
	p.pool.Close()
	p.reads.Close()
}

// podVariable marks a process as a pod and carries its podConfig: not in its arguments, where everybody on the machine
// could read the DSN.
const podVariable = "PGCOHERENCE_FAULTS_POD"

// podMain is the main function of a pod. It serves its parent over standard input and output; when the parent is gone,
// in whatever way, so is the pod.
func podMain(config string) int {
	var cfg podConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintf(os.Stderr, "faults: %s: %v\n", podVariable, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, cfg, stdio{}); err != nil {
		fmt.Fprintf(os.Stderr, "faults: pod %s: %v\n", cfg.Name, err)
		return 1
	}
	return 0
}

// serve runs a pod until the other end of conn is closed, ctx ends, or the bus does by itself, which is an error.
func serve(ctx context.Context, cfg podConfig, conn io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	p, err := newPod(ctx, cfg)
	if err != nil {
		return err
	}

	service, run := any(&Service{p}), p.run
	switch {
	case cfg.Check != nil:
		w, err := newWhole(p)
		if err != nil {
			p.close()
			return err
		}
		service, run = w, w.run
	case cfg.Session != nil:
		k, err := newKeeper(p)
		if err != nil {
			p.close()
			return err
		}
		service, run = k, k.run
	case cfg.Lock != nil:
		h, err := newHolder(p)
		if err != nil {
			p.close()
			return err
		}
		service, run = h, h.run
	}

	server := rpc.NewServer()
	if err := server.RegisterName("Pod", service); err != nil {
		return err
	}

	served := make(chan struct{})
	go func() { // ends when the parent closes its end, or dies
		server.ServeConn(conn)
		cancel()
		close(served)
	}()

	err = run()
	ended := ctx.Err() != nil
	cancel()
	p.close()
	_ = conn.Close() // standard input may not even notice

	select {
	case <-served:
	case <-time.After(stopTimeout / 3):
	}

	if err == nil && !ended {
		err = errors.New("the bus ended by itself")
	}

	return err
}

// stdio is the parent's pipe.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return os.Stdin.Close() }
