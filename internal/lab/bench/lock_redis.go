package main

import (
	"context"
	"errors"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// startRedis starts two servers: one that has every write on disk before it
// answers, as Postgres has, and one with Redis' usual second of loss.
func (p *lockPeers) startRedis(ctx context.Context, clients int) error {
	for _, fsync := range []string{"always", "everysec"} {
		server, err := redistest.Start(ctx, &redistest.Config{Args: []string{"--appendonly", "yes", "--appendfsync", fsync}})
		if errors.Is(err, redistest.ErrUnavailable) {
			return errors.ErrUnsupported
		}
		if err != nil {
			return err
		}

		p.closers = append(p.closers, server.Close)
		options, err := redis.ParseURL(server.URL())
		if err != nil {
			return err
		}

		options.PoolSize = clients
		client := redis.NewClient(options)
		p.closers = append(p.closers, client.Close)
		p.sides = append(p.sides, lasting(&lockRedsync{fsync, redsync.New(goredis.NewPool(client))}),
			lasting(&lockRedislock{fsync, redislock.New(client)}))
	}
	return nil
}

// lasting marks a side whose answers are ahead of its disk.
func lasting(side interface {
	lockSide
	always() bool
},
) lockSide {
	if side.always() {
		return side
	}
	return forgetful{side}
}

// forgetful is a side that may forget its last second in a crash.
type forgetful struct{ lockSide }

func (forgetful) forgets() {}

// lockRedsync is github.com/go-redsync/redsync on one server.
type lockRedsync struct {
	fsync string
	sync  *redsync.Redsync
}

func (l *lockRedsync) always() bool                                 { return l.fsync == "always" }
func (l *lockRedsync) name() string                                 { return "redsync." + l.fsync }
func (l *lockRedsync) title() string                                { return "redsync, appendfsync " + l.fsync }
func (l *lockRedsync) start(context.Context) error                  { return nil }
func (l *lockRedsync) stop(context.Context, int64) error            { return nil }
func (l *lockRedsync) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

// take tries again after 50 to 250 ms, as redsync does by default, for as long
// as the context lasts.
func (l *lockRedsync) take(ctx context.Context, key string) (func(context.Context) error, error) {
	mutex := l.sync.NewMutex(key, redsync.WithExpiry(lockTTL), redsync.WithTries(1_000_000))
	if err := mutex.LockContext(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := mutex.UnlockContext(ctx)
		return err
	}, nil
}

// lockRedislock is github.com/bsm/redislock.
type lockRedislock struct {
	fsync  string
	client *redislock.Client
}

func (l *lockRedislock) always() bool { return l.fsync == "always" }
func (l *lockRedislock) name() string { return "redislock." + l.fsync }

func (l *lockRedislock) title() string                                { return "redislock, appendfsync " + l.fsync }
func (l *lockRedislock) start(context.Context) error                  { return nil }
func (l *lockRedislock) stop(context.Context, int64) error            { return nil }
func (l *lockRedislock) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

// redislockPoll is what redislock's own documentation waits between two tries.
const redislockPoll = 100 * time.Millisecond

func (l *lockRedislock) take(ctx context.Context, key string) (func(context.Context) error, error) {
	held, err := l.client.Obtain(ctx, key, lockTTL, &redislock.Options{RetryStrategy: redislock.LinearBackoff(redislockPoll)})
	if err != nil {
		return nil, err
	}
	return held.Release, nil
}
