package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// visit is what a session of the benchmark holds.
type visit struct {
	User  int64
	Role  string
	Theme string
}

// sessionPod is a bus and a store with a pool of their own.
type sessionPod struct {
	*sessionstore.Store[visit]
	bus        *pod
	pool       *pgxpool.Pool
	statements *statements // of the pool and of the bus
	cancel     context.CancelFunc
	ended      chan error
}

type sessionFleet struct {
	all  []*sessionPod
	link *cuttable // of the last
}

func startSessionPods(ctx context.Context, s *server) (_ *sessionFleet, err error) {
	f := &sessionFleet{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop())
		}
	}()

	maker, err := s.pool(ctx, 1, nil)
	if err != nil {
		return nil, err
	}
	defer maker.Close()

	if err := sessionstore.Migrate(ctx, maker, &sessionstore.MigrateConfig{Logger: warnings()}); err != nil {
		return nil, err
	}
	if _, err := maker.Exec(ctx, `CREATE TABLE sessions (token text PRIMARY KEY, data bytea NOT NULL, expiry timestamptz NOT NULL);
		CREATE INDEX sessions_expiry_idx ON sessions (expiry)`); err != nil {
		return nil, err
	}

	for i := range sessionPods {
		config, err := pgxpool.ParseConfig(s.postgres.DSN(s.database))
		if err != nil {
			return nil, err
		}

		p := &sessionPod{statements: &statements{}, ended: make(chan error, 1)}
		config.MaxConns, config.ConnConfig.Tracer = 32, p.statements
		if i == sessionPods-1 {
			if f.link, err = startCuttable(net.JoinHostPort(config.ConnConfig.Host, strconv.Itoa(int(config.ConnConfig.Port)))); err != nil {
				return nil, err
			}
			config.ConnConfig.Host, config.ConnConfig.Port = f.link.address()
		}

		if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
			return nil, err
		}

		f.all = append(f.all, p)

		if err := p.start(ctx, string(rune('a'+i))); err != nil {
			return nil, err
		}
	}

	return f, nil
}

func (p *sessionPod) start(ctx context.Context, name string) (err error) {
	if p.bus, err = startPod(ctx, p.pool, bus.Config{Name: name, Logger: warnings()}, nil); err != nil {
		return err
	}
	p.Store, err = sessionstore.New(p.bus.Postgres, p.pool, &sessionstore.Config[visit]{
		Size: 1 << 16, SweepInterval: -1, Logger: warnings(),
	})
	if err != nil {
		return err
	}
	runCtx, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	go func() { p.ended <- p.Run(runCtx) }() // stop waits for it
	return nil
}

func (f *sessionFleet) stop() error {
	var errs []error
	for _, p := range f.all {
		if p.cancel != nil {
			p.cancel()
			errs = append(errs, <-p.ended, p.Close())
		}
		if p.bus != nil {
			errs = append(errs, p.bus.stop())
		}
	}

	if f.link != nil {
		f.link.close() // before the pools, which wait for their connections
	}

	for _, p := range f.all {
		p.pool.Close()
	}

	return errors.Join(errs...)
}

// login is a whole login.
func (p *sessionPod) login(ctx context.Context, user string) (string, error) {
	l, err := p.BeginLogin(ctx, user)
	if err != nil {
		return "", err
	}
	token, _, err := p.Create(ctx, l, visit{1, "reader", "dark"}, nil)
	return token, err
}

// statements counts what connections send, each statement of a batch.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (*statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { s.n.Add(1) }
func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)       {}

// cuttable forwards connections until it is cut: then bytes are taken and go nowhere, as behind a firewall that drops them.
type cuttable struct {
	listener net.Listener
	to       string
	cut      atomic.Bool
	over     chan struct{}
	done     chan struct{}
}

func startCuttable(to string) (*cuttable, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	c := &cuttable{listener: listener, to: to, over: make(chan struct{}), done: make(chan struct{})}
	go c.accept()
	return c, nil
}

func (c *cuttable) address() (string, uint16) {
	at := c.listener.Addr().(*net.TCPAddr) //nolint:errcheck // of a TCP listener
	return "127.0.0.1", uint16(at.Port)
}

func (c *cuttable) accept() {
	defer close(c.done)
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}

		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}

		go func() { // both end with the link
			<-c.over
			near.Close()
			far.Close()
		}()

		go c.forward(near, far)
		go c.forward(far, near)
	}
}

func (c *cuttable) forward(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !c.cut.Load() {
			_, _ = to.Write(buffer[:n]) // an error shows at the next Read
		}
		if err != nil {
			if !c.cut.Load() {
				to.Close()
			}
			return
		}
	}
}

func (c *cuttable) close() {
	c.listener.Close()
	<-c.done
	close(c.over)
	time.Sleep(10 * time.Millisecond) // for the goroutines that copy
}
