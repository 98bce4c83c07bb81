package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	rediscache "github.com/go-redis/cache/v9"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// thing is what the caches hold: pointers to it, so that what is measured is the cache.
type thing struct{ version int64 }

// loadFunc reads what a cache does not hold.
type loadFunc func(ctx context.Context, key string) (*thing, error)

// errAbsent is what a cache without a loader answers for a key that it does not hold.
var errAbsent = errors.New("not in the cache")

// subject is a cache under measurement. What it cannot do is nil.
type subject struct {
	name          string
	get           func(ctx context.Context, key string) (*thing, error)
	add           func(key string, value *thing) // for caches without a loader
	invalidate    func(key string)
	invalidateTag func(tag string)
	invalidateAll func()
	reset         func()     // of the bus; nil: what one does then is invalidateAll
	held          func() int // entries
	close         func()
	collector     prometheus.Collector // of its metrics
}

// expiry is every cache's time to live: none passes while it is measured.
const expiry = time.Hour

// maker makes a subject with room for so many entries.
type maker func(size int, load loadFunc) (*subject, error)

func oursOn(b bus.Bus) maker {
	return func(size int, load loadFunc) (*subject, error) {
		c, err := cache.New(b, topic, cache.Func(cacheLoad(load)), oursConfig(size))
		if err != nil {
			return nil, err
		}

		ctx := context.Background()
		return &subject{
			name: "ours", get: c.Get,
			invalidate:    func(key string) { must(c.Invalidate(ctx, key)) },
			invalidateAll: func() { must(c.InvalidateAll(ctx)) },
			held:          func() int { return c.Stats().Entries },
			close:         func() { _ = c.Close() },
			collector:     c,
		}, nil
	}
}

func oursConfig(size int) *cache.Config[string, *thing] {
	return &cache.Config[string, *thing]{Size: size, TTL: expiry}
}

func cacheLoad(load loadFunc) func(context.Context, string) (*thing, error) { return load }

// must is for what does not fail while its bus runs.
func must(_ bus.Receipt, err error) {
	if err != nil {
		panic(err)
	}
}

func makeOtter(size int, load loadFunc) (*subject, error) {
	c, err := otter.New(&otter.Options[string, *thing]{
		MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[string, *thing](expiry),
	})
	if err != nil {
		return nil, err
	}

	loader := otter.LoaderFunc[string, *thing](load)
	return &subject{
		name:          "otter",
		get:           func(ctx context.Context, key string) (*thing, error) { return c.Get(ctx, key, loader) },
		invalidate:    func(key string) { c.Invalidate(key) },
		invalidateAll: c.InvalidateAll,
		held:          func() int { c.CleanUp(); return c.EstimatedSize() },
		close:         func() { c.StopAllGoroutines() },
	}, nil
}

func makeSturdyc(size int, load loadFunc) (*subject, error) {
	const shards, evicted = 16, 10
	c := sturdyc.New[*thing](size, shards, expiry, evicted, sturdyc.WithNoContinuousEvictions())
	return &subject{
		name: "sturdyc",
		get: func(ctx context.Context, key string) (*thing, error) {
			return c.GetOrFetch(ctx, key, func(ctx context.Context) (*thing, error) { return load(ctx, key) })
		},
		invalidate: c.Delete,
		held:       c.Size,
	}, nil
}

// makeFlight is what many write by hand: golang-lru behind singleflight.
func makeFlight(size int, load loadFunc) (*subject, error) {
	c, err := lru.New[string, *thing](size)
	if err != nil {
		return nil, err
	}

	var flights singleflight.Group
	return &subject{
		name: "singleflight+golang-lru",
		get: func(ctx context.Context, key string) (*thing, error) {
			if v, ok := c.Get(key); ok {
				return v, nil
			}

			v, err, _ := flights.Do(key, func() (any, error) {
				v, err := load(ctx, key)
				if err == nil {
					c.Add(key, v)
				}
				return v, err
			})
			if err != nil {
				return nil, err
			}

			return v.(*thing), nil //nolint:errcheck // it is what was put in
		},
		invalidate:    func(key string) { c.Remove(key) },
		invalidateAll: c.Purge,
	}, nil
}

// makeRedisCache is go-redis/cache with its local cache alone: no Redis.
func makeRedisCache(size int, load loadFunc) (*subject, error) {
	c := rediscache.New(&rediscache.Options{LocalCache: rediscache.NewTinyLFU(size, expiry)})
	return &subject{
		name: "go-redis/cache",
		get: func(ctx context.Context, key string) (*thing, error) {
			var v versioned
			err := c.Once(&rediscache.Item{Ctx: ctx, Key: key, Value: &v, TTL: expiry, Do: func(*rediscache.Item) (any, error) {
				t, err := load(ctx, key)
				if err != nil {
					return nil, err
				}
				return &versioned{t.version}, nil
			}})
			return &thing{v.Version}, err
		},
		invalidate: func(key string) { _ = c.Delete(context.Background(), key) },
	}, nil
}

// versioned is a thing that can be encoded.
type versioned struct{ Version int64 }

// makeGolangLRU, and those below, do not load.
func makeGolangLRU(size int, _ loadFunc) (*subject, error) {
	c, err := lru.New[string, *thing](size)
	if err != nil {
		return nil, err
	}
	return &subject{
		name: "golang-lru", get: lookup(c.Get), add: func(k string, v *thing) { c.Add(k, v) },
		invalidate: func(key string) { c.Remove(key) }, invalidateAll: c.Purge, held: c.Len,
	}, nil
}

func makeExpirable(size int, _ loadFunc) (*subject, error) {
	c := expirable.NewLRU[string, *thing](size, nil, expiry)
	return &subject{
		name: "expirable", get: lookup(c.Get), add: func(k string, v *thing) { c.Add(k, v) },
		invalidate: func(key string) { c.Remove(key) }, invalidateAll: c.Purge, held: c.Len,
	}, nil
}

func makeTheine(size int, _ loadFunc) (*subject, error) {
	c, err := theine.NewBuilder[string, *thing](int64(size)).Build()
	if err != nil {
		return nil, err
	}
	return &subject{
		name: "theine", get: lookup(c.Get), add: func(k string, v *thing) { c.SetWithTTL(k, v, 1, expiry) },
		invalidate: func(key string) { c.Delete(key) }, held: c.Len, close: c.Close,
	}, nil
}

// makeRistretto waits for each write: ristretto drops some otherwise.
func makeRistretto(size int, _ loadFunc) (*subject, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, *thing]{
		NumCounters: int64(10 * size), MaxCost: int64(size), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &subject{
		name: "ristretto", get: lookup(c.Get), close: c.Close, invalidate: func(key string) { c.Del(key) }, invalidateAll: c.Clear,
		add: func(k string, v *thing) {
			c.SetWithTTL(k, v, 1, expiry)
			c.Wait()
		},
	}, nil
}

// makeRaw is the least a coherent LRU can be: a mutex around a list and a map.
func makeRaw(size int, _ loadFunc) (*subject, error) {
	c, err := simplelru.NewLRU[string, *thing](size, nil)
	if err != nil {
		return nil, err
	}

	var mu sync.Mutex
	return &subject{
		name: "mutex+simplelru",
		get: lookup(func(key string) (*thing, bool) {
			mu.Lock()
			v, ok := c.Get(key)
			mu.Unlock()
			return v, ok
		}),
		add: func(k string, v *thing) {
			mu.Lock()
			defer mu.Unlock()
			c.Add(k, v)
		},
	}, nil
}

// makeClocked is makeRaw with one reading of the clock before each read. Who proves with each hit that it is in sync, or has
// a TTL, does at least this; the reading also keeps the processor from fetching ahead what the next read needs.
func makeClocked(size int, load loadFunc) (*subject, error) {
	s, err := makeRaw(size, load)
	if err != nil {
		return nil, err
	}
	get, begun := s.get, time.Now()
	s.name += "+clock"
	s.get = func(ctx context.Context, key string) (*thing, error) {
		if time.Now().Before(begun) {
			return nil, errAbsent
		}
		return get(ctx, key)
	}
	return s, nil
}

func lookup(get func(string) (*thing, bool)) func(context.Context, string) (*thing, error) {
	return func(_ context.Context, key string) (*thing, error) {
		v, ok := get(key)
		if !ok {
			return nil, errAbsent
		}
		return v, nil
	}
}

// put has a subject hold a key.
func (s *subject) put(ctx context.Context, key string, v *thing) error {
	if s.add != nil {
		s.add(key, v)
		return nil
	}
	_, err := s.get(ctx, key)
	return err
}

func (s *subject) end() {
	if s.close != nil {
		s.close()
	}
}
