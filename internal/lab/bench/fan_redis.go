package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// throughRedis tells of an event by a command to Redis, once it is committed.
type throughRedis struct {
	pool  *pgxpool.Pool
	redis *redistest.Server
	noted *arrivals
}

func (r *throughRedis) listeners(pods int) int { return pods }
func (r *throughRedis) notifies() int64        { return r.noted.published() }

func (r *throughRedis) otherServer(ctx context.Context) (time.Duration, error) {
	return redisTime(ctx, r.redis)
}

// fanRedis is PUBLISH after the commit, and a subscription of each pod.
type fanRedis struct {
	throughRedis
	sender *goredis.Client
	pods   []*goredis.Client
	subs   []*goredis.PubSub
	done   sync.WaitGroup
}

func (f *fanRedis) name() string  { return "redis" }
func (f *fanRedis) title() string { return "Redis pub/sub" }

func (f *fanRedis) start(ctx context.Context, listeners int, noted *arrivals) error {
	f.noted = noted
	f.sender = f.client(fanoutWriters)
	for i := range listeners {
		client := f.client(1)
		sub := client.Subscribe(ctx, notifyChannel)
		f.pods, f.subs = append(f.pods, client), append(f.subs, sub)
		if _, err := sub.Receive(ctx); err != nil { // that it has subscribed
			_, _, stopErr := f.stop()
			return errors.Join(err, stopErr)
		}

		messages := sub.Channel(goredis.WithChannelSize(10_000), goredis.WithChannelSendTimeout(time.Minute))
		f.done.Go(func() {
			for m := range messages {
				if event, err := strconv.Atoi(m.Payload); err == nil {
					noted.arrive(i, event)
				}
			}
		})
	}

	return nil
}

func (f *fanRedis) client(connections int) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Network: "unix", Addr: f.redis.Address(), PoolSize: connections})
}

func (f *fanRedis) publish(ctx context.Context, event int) error {
	if err := (&bare{f.pool}).transact(ctx, int64(event)); err != nil {
		return err
	}
	f.noted.committed(event)
	return f.sender.Publish(ctx, notifyChannel, event).Err()
}

func (f *fanRedis) stop() (did, trouble string, err error) {
	var errs []error
	for _, sub := range f.subs {
		errs = append(errs, sub.Close())
	}
	f.done.Wait()
	for _, client := range append(f.pods, f.sender) {
		errs = append(errs, client.Close())
	}
	f.pods, f.subs = nil, nil
	return "", "", errors.Join(errs...)
}

// fanTracking is client tracking by rueidis, in the broadcasting mode: a SET
// after the commit, and Redis tells every client that it has changed.
type fanTracking struct {
	throughRedis
	sender rueidis.Client
	pods   []rueidis.Client
}

// trackedPrefix stands before the keys of events.
const trackedPrefix = "tracked:"

func (f *fanTracking) name() string  { return "tracking" }
func (f *fanTracking) title() string { return "rueidis tracking" }

func (f *fanTracking) start(ctx context.Context, listeners int, noted *arrivals) (err error) {
	f.noted = noted
	options, err := rueidis.ParseURL(f.redis.URL())
	if err != nil {
		return err
	}

	plain := options
	plain.DisableCache = true
	if f.sender, err = rueidis.NewClient(plain); err != nil {
		return err
	}

	for i := range listeners {
		tracking := options
		tracking.PipelineMultiplex = -1 // one connection for each pod
		tracking.ClientTrackingOptions = []string{"PREFIX", trackedPrefix, "BCAST"}
		tracking.OnInvalidations = func(messages []rueidis.RedisMessage) {
			for _, m := range messages {
				key, err := m.ToString()
				if err != nil {
					continue
				}
				if event, err := strconv.Atoi(strings.TrimPrefix(key, trackedPrefix)); err == nil {
					noted.arrive(i, event)
				}
			}
		}
		client, err := rueidis.NewClient(tracking)
		if err != nil {
			_, _, stopErr := f.stop()
			return errors.Join(err, stopErr)
		}

		f.pods = append(f.pods, client)
		if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil { // it has connected
			_, _, stopErr := f.stop()
			return errors.Join(err, stopErr)
		}
	}

	return nil
}

func (f *fanTracking) publish(ctx context.Context, event int) error {
	if err := (&bare{f.pool}).transact(ctx, int64(event)); err != nil {
		return err
	}
	f.noted.committed(event)
	key := trackedPrefix + strconv.Itoa(event)
	return f.sender.Do(ctx, f.sender.B().Set().Key(key).Value("1").ExSeconds(60).Build()).Error()
}

func (f *fanTracking) stop() (did, trouble string, err error) {
	for _, client := range append(f.pods, f.sender) {
		client.Close()
	}
	f.pods = nil
	return "", "", nil
}
