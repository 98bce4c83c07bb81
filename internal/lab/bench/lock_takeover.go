package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/lock"
)

// takeoverPlan is how often a lease is taken over from a process that died, and after how long it may be.
type takeoverPlan struct {
	Rounds int
	After  time.Duration // lock.Config.TakeoverAfter
}

// measureTakeover measures how long somebody waits for a lease whose owner has died: from when its connections end, as the
// system ends those of a process that is killed, until the next has it. The TTL is an hour.
func measureTakeover(ctx context.Context, r *report, s *server, plan takeoverPlan) error {
	var took []float64
	for range plan.Rounds {
		one, err := takeOver(ctx, s, plan.After)
		if err != nil {
			return err
		}
		took = append(took, one.Seconds()*1e3)
	}

	f := newFigure("lock.takeover_ms", "ms", took)
	r.add(f)
	r.row()
	r.row("TakeoverAfter", "ms from the death of an owner until the next has its lease")
	r.row(plan.After.String(), f.summary)
	r.result(f.Name, f.Value)
	return nil
}

func takeOver(ctx context.Context, s *server, after time.Duration) (took time.Duration, err error) {
	cfg, err := pgxpool.ParseConfig(s.postgres.DSN(s.database))
	if err != nil {
		return 0, err
	}
	life := &lifeline{dial: cfg.ConnConfig.DialFunc}
	cfg.ConnConfig.DialFunc = life.connect
	cfg.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	owner, err := lock.New(nil, pool, &lock.Config{
		Owner: "owner", Logger: warnings(), TakeoverAfter: after, DrainTimeout: -1, Options: lock.Options{TTL: time.Hour},
	})
	if err != nil {
		return 0, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- owner.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()

	others, err := s.pool(ctx, 4, nil)
	if err != nil {
		return 0, err
	}
	defer others.Close()
	next, err := startLocking(ctx, others, "next")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, next.stop()) }()

	const key = "taken over"
	if err := heldWithSession(ctx, owner, others, key); err != nil {
		return 0, err
	}
	granted := make(chan error, 1)
	go func() {
		lease, err := next.Acquire(ctx, key)
		if err == nil {
			took = life.sinceEnd()
			err = lease.Release(ctx)
		}
		granted <- err
	}()
	err = eventually(ctx, func() bool {
		info, err := next.Inspect(ctx, key)
		return err == nil && info.Waiters == 1
	})
	if err != nil {
		return 0, fmt.Errorf("nobody waits: %w", err)
	}
	life.end()
	err = <-granted
	return took, err
}

// heldWithSession takes a lease that ends with its owner's session, as soon as there is one.
func heldWithSession(ctx context.Context, owner *lock.Locker, pool *pgxpool.Pool, key string) error {
	lease, err := owner.Acquire(ctx, key)
	if err != nil {
		return err
	}

	err = eventually(ctx, func() bool {
		var bound bool
		err := pool.QueryRow(ctx, "SELECT session > 0 AND session_grant = grant_id FROM pgcoherence.lease WHERE key = $1 AND token = $2",
			key, lease.Token()).Scan(&bound)
		return err == nil && bound
	})
	if err != nil {
		return fmt.Errorf("not bound to a session: %w", err)
	}

	return nil
}

// lifeline ends connections as the death of their process does.
type lifeline struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn
	ended time.Time // zero: it lives
}

var errDead = errors.New("the process is dead")

func (l *lifeline) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended.IsZero() {
		return nil, errors.Join(errDead, conn.Close())
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

func (l *lifeline) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = time.Now()
	for _, conn := range l.conns {
		_ = conn.Close() // the server sees its end
	}
}

func (l *lifeline) sinceEnd() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.ended)
}
