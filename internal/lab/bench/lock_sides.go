package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// lockTTL is how long leases last, on all sides.
const lockTTL = 15 * time.Second

// lockSQL is the least that a table of leases needs: two statements, and nothing
// of tokens, queues, renewals or failed servers.
type lockSQL struct {
	pool *pgxpool.Pool
	// waits is for a release that waits for the disk. Ours leaves that to the next
	// grant, so what it is compared with does, too: it is to be as durable, no more.
	waits bool
}

const (
	bareRelease      = `DELETE FROM bare_lease WHERE key = $1 AND owner = $2`
	bareReleaseLater = bareRelease + ` RETURNING set_config('synchronous_commit', 'off', true)`
)

func (l *lockSQL) name() string {
	if l.waits {
		return lockBase + ".waits"
	}
	return lockBase
}

func (l *lockSQL) title() string {
	if l.waits {
		return "the same, and DELETE waits for the disk"
	}
	return "bare SQL: INSERT … ON CONFLICT, DELETE"
}

func (l *lockSQL) start(context.Context) error                  { return nil }
func (l *lockSQL) stop(context.Context, int64) error            { return nil }
func (l *lockSQL) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }
func (l *lockSQL) take(ctx context.Context, key string) (func(context.Context) error, error) {
	owner := rand.Text()
	tag, err := l.pool.Exec(ctx, `INSERT INTO bare_lease (key, owner, expires_at) VALUES ($1, $2, clock_timestamp() + $3::bigint * interval '1 ms')
		ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
		WHERE bare_lease.expires_at <= clock_timestamp()`, key, owner, lockTTL.Milliseconds())
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%q is held", key)
	}

	return func(ctx context.Context) error {
		release := bareReleaseLater
		if l.waits {
			release = bareRelease
		}

		tag, err := l.pool.Exec(ctx, release, key, owner)
		if err == nil && tag.RowsAffected() != 1 {
			err = fmt.Errorf("%q was not held", key)
		}

		return err
	}, err
}

// lockLease is the library: a running bus and a running Locker.
type lockLease struct {
	pool   *pgxpool.Pool
	locker *locking
}

func (l *lockLease) name() string                                 { return lockOurs }
func (l *lockLease) title() string                                { return "lock" }
func (l *lockLease) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

func (l *lockLease) start(ctx context.Context) (err error) {
	l.locker, err = startLocking(ctx, l.pool, "bench")
	return err
}

func (l *lockLease) stop(context.Context, int64) error { return l.locker.stop() }

func (l *lockLease) take(ctx context.Context, key string) (func(context.Context) error, error) {
	lease, err := l.locker.Acquire(ctx, key)
	if err != nil {
		return nil, err
	}
	return lease.Release, nil
}

// locking is a pod of an application that locks: a bus and a Locker that run.
type locking struct {
	*lock.Locker
	pod    *pod
	cancel context.CancelFunc
	ended  chan error
}

// startLocking returns when the bus is in sync and the Locker is running.
func startLocking(ctx context.Context, pool *pgxpool.Pool, name string) (*locking, error) {
	pod, err := startPod(ctx, pool, bus.Config{Name: name, Logger: warnings()}, func(bus.Delivery) {})
	if err != nil {
		return nil, err
	}

	l, err := lock.New(pod, pool, &lock.Config{Owner: name, Logger: warnings(), Options: lock.Options{TTL: lockTTL}})
	if err != nil {
		return nil, errors.Join(err, pod.stop())
	}

	ctx, cancel := context.WithCancel(ctx)
	running := &locking{Locker: l, pod: pod, cancel: cancel, ended: make(chan error, 1)}
	go func() { running.ended <- l.Run(ctx) }() // stop waits for it

	if err := eventually(ctx, func() bool { return l.Stats().Running }); err != nil {
		return nil, errors.Join(fmt.Errorf("locker does not run: %w", err), running.stop())
	}

	return running, nil
}

func (l *locking) stop() error {
	l.cancel()
	return errors.Join(<-l.ended, l.pod.stop())
}
