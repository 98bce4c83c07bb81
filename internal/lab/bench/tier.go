package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// tierPlan is how much the command tier measures.
type tierPlan struct {
	Rounds  int
	Length  time.Duration // of one variant in one round
	Readers int
	Keys    int
	Size    int // of a value, in bytes
	Many    int // keys that are read at once
}

func tierCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "tier",
		Short: "reading from a real Redis through the tier, one key and a thousand at once, beside the client under it alone, and beside other clients",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := tierPlan{Rounds: 61, Length: 250 * time.Millisecond, Readers: 64, Keys: 10_000, Size: 256, Many: 1000}
			if o.short {
				plan.Rounds, plan.Length = 31, 150*time.Millisecond
			}

			r, err := measureTier(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("tier: %w", err)
			}

			return o.keep(r)
		},
	}
}

// redisReader is a way to read a key from Redis.
type redisReader struct {
	name   string
	note   string
	get    func(ctx context.Context, key string) ([]byte, error)
	end    func()
	us     []float64 // between two reads of all readers together
	median []float64 // of a single read
}

func measureTier(ctx context.Context, plan tierPlan) (_ *report, err error) {
	redis, err := redistest.Start(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, redis.Close()) }()

	r := &report{Command: "tier", Counts: map[string]any{}, Parameters: map[string]any{
		"rounds": plan.Rounds, "length": plan.Length.String(), "readers": plan.Readers, "keys": plan.Keys, "size": plan.Size,
		"many": plan.Many,
	}}
	version, err := redisVersion(ctx, redis)
	if err != nil {
		return nil, err
	}

	r.Environment = localEnvironment("Redis " + version)
	readers, err := startRedisReaders(ctx, redis, plan)
	defer func() {
		for _, one := range readers {
			one.end()
		}
	}()

	if err != nil {
		return nil, err
	}

	for round := range plan.Rounds {
		for i := range readers {
			if err := readers[(i+round)%len(readers)].sample(ctx, plan); err != nil {
				return nil, err
			}
		}
	}

	r.row("reader", "µs between reads", "µs of a read", "")

	for _, one := range readers {
		us, single := newFigure("tier.us."+one.name, "µs", one.us), newFigure("tier.read_us."+one.name, "µs", one.median)
		r.add(us)
		r.add(single)
		r.row(one.name, us.summary, single.summary, one.note)
	}

	for i, name := range []string{"rueidis", "rueidis_same", "csc", "redis_cache"} {
		rounds, err := ratios(readers[0].us, readers[i+1].us)
		if err != nil {
			return nil, err
		}
		f := newFigure("tier.ratio."+name, "ratio", rounds)
		r.add(f)
		r.result(f.Name, f.Value)
	}

	return r, measureMany(ctx, redis, plan, r)
}

func redisVersion(ctx context.Context, redis *redistest.Server) (string, error) {
	lines, err := redis.Lines(ctx, "INFO", "server")
	if err != nil {
		return "", err
	}
	for _, line := range lines {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return version, nil
		}
	}
	return "", errors.New("redis tells no version")
}

// tierPrefix stands before the keys of all readers.
const tierPrefix = "bench:"

func startRedisReaders(ctx context.Context, redis *redistest.Server, plan tierPlan) ([]*redisReader, error) {
	tier, err := redistier.New(&redistier.Config{URL: redis.URL(), KeyPrefix: tierPrefix})
	if err != nil {
		return nil, err
	}

	readers := []*redisReader{{name: "ours", note: "as it is by default", get: tier.Get, end: tier.Close}}
	value := []byte(strings.Repeat("v", plan.Size))
	for i := range plan.Keys {
		if err := tier.Set(ctx, strconv.Itoa(i), value, time.Hour); err != nil {
			return readers, err
		}
	}

	options, err := rueidis.ParseURL(redis.URL())
	if err != nil {
		return readers, err
	}

	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		return readers, err
	}

	readers = append(readers, &redisReader{name: "rueidis", note: "as it is by default", end: client.Close, get: bareGet(client)})
	options.AlwaysPipelining = true
	options.ReadBufferEachConn, options.WriteBufferEachConn = 64<<10, 64<<10
	same, err := rueidis.NewClient(options)
	if err != nil {
		return readers, err
	}

	readers = append(readers, &redisReader{name: "rueidis, our options", note: "the same buffers and pipelines", end: same.Close, get: bareGet(same)})
	options, err = rueidis.ParseURL(redis.URL())
	if err != nil {
		return readers, err
	}

	tracking, err := rueidis.NewClient(options)
	if err != nil {
		return readers, err
	}

	readers = append(readers, &redisReader{
		name: "rueidis client-side", note: "served from this process' memory", end: tracking.Close,
		get: func(ctx context.Context, key string) ([]byte, error) {
			return tracking.DoCache(ctx, tracking.B().Get().Key(tierPrefix+key).Cache(), time.Hour).AsBytes()
		},
	})

	pool := goredis.NewClient(&goredis.Options{Network: "unix", Addr: redis.Address()})
	through := rediscache.New(&rediscache.Options{Redis: pool})
	readers = append(readers, &redisReader{
		name: "go-redis/cache", note: "a pool of connections", end: func() { _ = pool.Close() },
		get: func(ctx context.Context, key string) ([]byte, error) {
			var value []byte
			err := through.Get(ctx, tierPrefix+key, &value)
			return value, err
		},
	})
	return readers, nil
}

func bareGet(client rueidis.Client) func(ctx context.Context, key string) ([]byte, error) {
	return func(ctx context.Context, key string) ([]byte, error) {
		return client.Do(ctx, client.B().Get().Key(tierPrefix+key).Build()).AsBytes()
	}
}

// sample reads for a while from many goroutines. All have a deadline, as the cache gives the tier one.
func (r *redisReader) sample(ctx context.Context, plan tierPlan) error {
	ctx, cancel := context.WithTimeout(ctx, redistier.DefaultReadTimeout)
	defer cancel()

	singles := make([][]float64, plan.Readers)
	begin := time.Now()
	err := together(plan.Readers, func(reader int) error {
		for at := reader; at == reader || time.Since(begin) < plan.Length; at++ {
			start := time.Now()
			value, err := r.get(ctx, strconv.Itoa(at%plan.Keys))
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if len(value) != plan.Size {
				return fmt.Errorf("%s: %d bytes instead of %d", r.name, len(value), plan.Size)
			}

			singles[reader] = append(singles[reader], float64(time.Since(start).Nanoseconds())/1e3)
		}
		return nil
	})

	took := time.Since(begin)

	if err != nil {
		return err
	}

	var all []float64
	for _, one := range singles {
		all = append(all, one...)
	}

	r.us = append(r.us, float64(took.Nanoseconds())/1e3/float64(len(all)))
	r.median = append(r.median, median(all))
	return nil
}
