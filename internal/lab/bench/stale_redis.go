package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	lru "github.com/hashicorp/golang-lru/v2"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// afterCommit tells of a change when it is committed, if the process still runs.
func afterCommit(w *staleWorld, tell func(ctx context.Context, key int64) error) func(ctx context.Context, key, version int64, end ending) error {
	return func(ctx context.Context, key, version int64, end ending) error {
		if err := w.inTx(ctx, key, version, end, nil); err != nil || end != committedAndTold {
			return err
		}
		return tell(ctx, key)
	}
}

// redisClients are those of the pod that reads, behind the link that faults hit, and of the pod that writes.
func redisClients(w *staleWorld) (reader, writer *goredis.Client) {
	return goredis.NewClient(&goredis.Options{Addr: w.cable.address()}), goredis.NewClient(&goredis.Options{Addr: w.redis.Address()})
}

func staleRedisPubSub(ctx context.Context, w *staleWorld) (*staleSide, error) {
	const channel = "stale"
	c, err := lru.New[int64, int64](lruSize)
	if err != nil {
		return nil, err
	}
	reader, writer := redisClients(w)
	subscription := reader.Subscribe(ctx, channel)
	var done sync.WaitGroup
	done.Go(func() {
		for message := range subscription.ChannelWithSubscriptions() {
			switch m := message.(type) {
			case *goredis.Subscription: // it has connected again
				c.Purge()
			case *goredis.Message:
				dropNamed(c, m.Payload)
			}
		}
	})

	s := &staleSide{name: "Redis pub/sub + LRU", about: "go-redis: PUBLISH after the commit; all is dropped whenever it has subscribed again"}
	s.get = readThrough(c, s.load(w))
	s.change = afterCommit(w, func(ctx context.Context, key int64) error {
		return writer.Publish(ctx, channel, strconv.FormatInt(key, 10)).Err()
	})
	s.close = func() error {
		err := subscription.Close()
		done.Wait()
		return errors.Join(err, reader.Close(), writer.Close())
	}
	return s, nil
}

func staleRedisCache(_ context.Context, w *staleWorld) (*staleSide, error) {
	reader, writer := redisClients(w)
	on := func(client *goredis.Client) *rediscache.Cache {
		return rediscache.New(&rediscache.Options{Redis: client, LocalCache: rediscache.NewTinyLFU(1000, time.Minute)})
	}
	read, write := on(reader), on(writer)
	name := func(key int64) string { return "stale:cache:" + strconv.FormatInt(key, 10) }

	s := &staleSide{name: "go-redis/cache", about: "Once with NewTinyLFU(1000, time.Minute) and a TTL of an hour in Redis, as in its README; Delete after the commit"}
	load := s.load(w)
	s.get = func(ctx context.Context, key int64) (int64, error) {
		var v versioned
		err := read.Once(&rediscache.Item{Ctx: ctx, Key: name(key), Value: &v, TTL: time.Hour, Do: func(*rediscache.Item) (any, error) {
			version, err := load(ctx, key)
			return &versioned{version}, err
		}})
		return v.Version, err
	}
	s.change = afterCommit(w, func(ctx context.Context, key int64) error {
		if err := write.Delete(ctx, name(key)); err != nil && !errors.Is(err, rediscache.ErrCacheMiss) {
			return err
		}
		return nil
	})
	s.close = func() error { return errors.Join(reader.Close(), writer.Close()) }
	return s, nil
}

func staleRueidis(_ context.Context, w *staleWorld) (*staleSide, error) {
	reader, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{w.cable.address()}})
	if err != nil {
		return nil, err
	}
	writer, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{w.redis.Address()}, DisableCache: true})
	if err != nil {
		reader.Close()
		return nil, err
	}
	name := func(key int64) string { return "stale:rueidis:" + strconv.FormatInt(key, 10) }

	s := &staleSide{
		name:  "rueidis client-side",
		about: "DoCache for a minute, as in its README; what Redis has not is loaded and SET with an hour; DEL after the commit (its rueidisaside is not on the module proxy)",
	}
	load := s.load(w)
	s.get = func(ctx context.Context, key int64) (int64, error) {
		version, err := reader.DoCache(ctx, reader.B().Get().Key(name(key)).Cache(), time.Minute).AsInt64()
		if !rueidis.IsRedisNil(err) {
			return version, err
		}
		if version, err = load(ctx, key); err != nil {
			return 0, err
		}
		set := reader.B().Set().Key(name(key)).Value(strconv.FormatInt(version, 10)).Ex(time.Hour).Build()
		return version, reader.Do(ctx, set).Error()
	}
	s.change = afterCommit(w, func(ctx context.Context, key int64) error {
		return writer.Do(ctx, writer.B().Del().Key(name(key)).Build()).Error()
	})
	s.close = func() error {
		reader.Close()
		writer.Close()
		return nil
	}
	return s, nil
}
