package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// redisPublish is the update alone, and a PUBLISH when it is committed, with one
// subscriber. The event is lost if the process ends in between.
type redisPublish struct {
	bare
	redis  *redistest.Server
	client *goredis.Client
	heard  atomic.Int64

	subscription *goredis.PubSub
	done         sync.WaitGroup
}

func newRedisPublish(pool *pgxpool.Pool, redis *redistest.Server, connections int) *redisPublish {
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: redis.Address(), PoolSize: connections})
	return &redisPublish{bare: bare{pool}, redis: redis, client: client}
}

func (r *redisPublish) name() string { return "redis" }

func (r *redisPublish) start(ctx context.Context) error {
	r.heard.Store(0)
	r.subscription = r.client.Subscribe(ctx, notifyChannel)
	if _, err := r.subscription.Receive(ctx); err != nil { // that it has subscribed
		return errors.Join(fmt.Errorf("redis: %w", err), r.subscription.Close())
	}
	messages := r.subscription.Channel(goredis.WithChannelSize(100_000), goredis.WithChannelSendTimeout(time.Minute))
	r.done.Go(func() {
		for range messages {
			r.heard.Add(1)
		}
	})
	return nil
}

func (r *redisPublish) transact(ctx context.Context, id int64) error {
	if err := r.bare.transact(ctx, id); err != nil {
		return err
	}
	if err := r.client.Publish(ctx, notifyChannel, strconv.FormatInt(id, 10)).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

func (r *redisPublish) stop(ctx context.Context, commits int64) error {
	err := eventually(ctx, func() bool { return r.heard.Load() >= commits })
	if err != nil {
		err = fmt.Errorf("redis: %d of %d messages arrived: %w", r.heard.Load(), commits, err)
	}
	err = errors.Join(err, r.subscription.Close())
	r.done.Wait()
	return err
}

// otherServer is the processor time that Redis has used.
func (r *redisPublish) otherServer(ctx context.Context) (time.Duration, error) {
	return redisTime(ctx, r.redis)
}

// redisTime is the processor time that a Redis has used since it began.
func redisTime(ctx context.Context, redis *redistest.Server) (sum time.Duration, err error) {
	lines, err := redis.Lines(ctx, "INFO", "cpu")
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}

	for _, line := range lines {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				seconds, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return 0, fmt.Errorf("redis: %w", err)
				}
				sum += time.Duration(seconds * float64(time.Second))
			}
		}
	}

	if sum == 0 {
		return 0, errors.New("redis: it does not say how much processor time it has used")
	}

	return sum, nil
}
