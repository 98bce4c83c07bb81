package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"cirello.io/pglock"
	_ "github.com/lib/pq" // the driver that pglock is made for
)

// lockPeers are the others: libraries that people take today, each on the server
// it was made for.
type lockPeers struct {
	sides   []lockSide
	missing []string // what cannot be measured here
	closers []func() error
}

// startLockPeers starts the servers that are there. What is missing is said
// loudly and has rows of its own: a comparison without it is another comparison.
func startLockPeers(ctx context.Context, s *server, clients int, r *report) (_ *lockPeers, err error) {
	p := &lockPeers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := p.startPGLock(s, clients); err != nil {
		return nil, fmt.Errorf("pglock: %w", err)
	}
	err = p.startServers(ctx, clients, r)
	return p, err
}

// startServers starts what is no Postgres.
func (p *lockPeers) startServers(ctx context.Context, clients int, r *report) error {
	for _, kind := range []struct {
		what  string
		start func(context.Context, int) error
	}{
		{"redsync and redislock: a redis-server on PATH (Debian: redis-server)", p.startRedis},
		{"etcd: an etcd on PATH (Debian: etcd-server)", p.startEtcd},
	} {
		err := kind.start(ctx, clients)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			fmt.Fprintf(os.Stderr, "*** NOT MEASURED: %s\n", kind.what)
			p.missing = append(p.missing, "NOT MEASURED: "+kind.what)
			r.Counts["not measured"] = p.missing
		case err != nil:
			return err
		}
	}
	return nil
}

// close ends what was started, the last first.
func (p *lockPeers) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	return errors.Join(errs...)
}

// lockPGLock is cirello.io/pglock as its documentation shows it: through lib/pq,
// with the heartbeat it has by default.
type lockPGLock struct {
	client *pglock.Client
	waits  *pglock.Client // the same with a short lease, for those who wait
}

// pglockWait is the lease of the clients that wait: pglock sleeps one lease
// between two tries, which by default is 20 s.
const pglockWait = time.Second

func (p *lockPeers) startPGLock(s *server, clients int) error {
	db, err := sql.Open("postgres", s.postgres.DSN(s.database))
	if err != nil {
		return err
	}

	p.closers = append(p.closers, db.Close)
	db.SetMaxOpenConns(2 * clients) // heartbeats take some
	db.SetMaxIdleConns(2 * clients)

	l := &lockPGLock{}
	if l.client, err = pglock.New(db, pglock.WithLeaseDuration(lockTTL)); err != nil {
		return err
	}
	if l.waits, err = pglock.New(db, pglock.WithLeaseDuration(pglockWait), pglock.WithHeartbeatFrequency(pglockWait/2)); err != nil {
		return err
	}

	p.sides = append(p.sides, l)
	return l.client.CreateTable()
}

func (l *lockPGLock) name() string                                 { return "pglock" }
func (l *lockPGLock) title() string                                { return "cirello.io/pglock" }
func (l *lockPGLock) start(context.Context) error                  { return nil }
func (l *lockPGLock) stop(context.Context, int64) error            { return nil }
func (l *lockPGLock) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

func (l *lockPGLock) take(ctx context.Context, key string) (func(context.Context) error, error) {
	return takePGLock(ctx, l.client, key)
}

func (l *lockPGLock) wait(ctx context.Context, key string) (func(context.Context) error, error) {
	return takePGLock(ctx, l.waits, key)
}

func takePGLock(ctx context.Context, client *pglock.Client, key string) (func(context.Context) error, error) {
	held, err := client.AcquireContext(ctx, key)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return client.ReleaseContext(ctx, held) }, nil
}
