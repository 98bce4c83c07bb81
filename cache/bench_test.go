package cache_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	return keys
}

// shuffled is the order in which keys are read: not that in which they were stored, or the processor would fetch ahead.
func shuffled(keys []string) []string {
	keys = slices.Clone(keys)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

type payload struct{ a, b uint64 }

func benchCache(tb testing.TB, keys []string) *cache.Cache[string, payload] {
	tb.Helper()
	load := cache.Func(func(context.Context, string) (payload, error) { return payload{1, 2}, nil })
	c := open(tb, bus.NewLocal(), load, &cache.Config[string, payload]{Size: 2 * len(keys), Logger: quiet})
	for _, k := range keys {
		_, err := c.Get(context.Background(), k)
		require.NoError(tb, err)
	}
	return c
}

// BenchmarkHit compares a hit with what is under it, and with golang-lru's cache that has TTLs.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		keys := benchKeys(n)
		raw, err := simplelru.NewLRU[string, payload](2*n, nil)
		require.NoError(b, err)

		ttl := expirableLRU(2 * n)
		for _, k := range keys {
			raw.Add(k, payload{1, 2})
			ttl.Add(k, payload{1, 2})
		}

		ours := benchCache(b, keys)
		keys = shuffled(keys)
		var mu sync.Mutex
		for _, who := range []struct {
			name string
			get  func(string) bool
		}{
			{"raw", func(k string) bool { mu.Lock(); _, ok := raw.Get(k); mu.Unlock(); return ok }},
			{"expirable", func(k string) bool { _, ok := ttl.Get(k); return ok }},
			{"ours", func(k string) bool { _, err := ours.Get(context.Background(), k); return err == nil }},
		} {
			for _, goroutines := range []int{1, 2, 8} {
				b.Run(who.name+"/keys="+strconv.Itoa(n)+"/goroutines="+strconv.Itoa(goroutines), func(b *testing.B) {
					b.ReportAllocs()
					b.SetParallelism(max(goroutines/runtime.GOMAXPROCS(0), 1))

					if goroutines == 1 {
						for i := 0; b.Loop(); i++ {
							if !who.get(keys[i%n]) {
								b.Fatal("miss")
							}
						}
						return
					}

					b.RunParallel(func(pb *testing.PB) {
						for i := rand.IntN(n); pb.Next(); i++ {
							if !who.get(keys[i%n]) {
								b.Fatal("miss")
							}
						}
					})
				})
			}
		}
	}
}

// expirableLRU is made once for each size: it has a goroutine that cannot be ended.
var expirableLRUs = map[int]*expirable.LRU[string, payload]{}

func expirableLRU(size int) *expirable.LRU[string, payload] {
	if expirableLRUs[size] == nil {
		expirableLRUs[size] = expirable.NewLRU[string, payload](size, nil, time.Hour)
	}
	return expirableLRUs[size]
}

// BenchmarkMemory reports bytes of heap per entry, keys and values included.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	keys := benchKeys(n)
	for b.Loop() {
		before := heap()
		golang := plainHeap(b, keys, before)
		before = heap()
		c := benchCache(b, keys)
		ours := heap() - before
		b.ReportMetric(float64(golang)/n, "golang-lru-B/entry")
		b.ReportMetric(float64(ours)/n, "ours-B/entry")
		runtime.KeepAlive(c)
	}
	runtime.KeepAlive(keys)
}

// plainHeap is what golang-lru's simplest cache takes, which is free again afterwards.
func plainHeap(b *testing.B, keys []string, before int64) int64 {
	b.Helper()
	l, err := lru.New[string, payload](len(keys))
	require.NoError(b, err)
	for _, k := range keys {
		l.Add(k, payload{1, 2})
	}
	defer runtime.KeepAlive(l)
	return heap() - before
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkNow is the part of a hit that proves freshness: nothing else can, because the process may have stood still.
func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
