package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// absent is the version of a key that a pod does not answer.
const absent = -1

// itemKey is a row of the table. On the wire it is a number behind a letter.
type itemKey int

// item is what a row holds. It is an object in the tier, so that a part of one is none.
type item struct {
	Version int64 `json:"version"`
}

// loadTimes are how long a load takes after it has read, in which it may be overtaken by an invalidation.
type loadTimes struct {
	Usually   time.Duration // up to this
	Sometimes time.Duration // just this, one in Often times
	Often     int           // default 16
}

// lateLoads are those of all rows that say nothing else.
var lateLoads = loadTimes{Usually: 3 * time.Millisecond, Sometimes: 50 * time.Millisecond}

func (l loadTimes) one() time.Duration {
	often := l.Often
	if often == 0 {
		often = 16
	}
	if l.Sometimes > 0 && rand.N(often) == 0 {
		return l.Sometimes
	}
	return rand.N(l.Usually + 1)
}

// items is a pod's cache of the table: the library's own, over a loader that is slow now and then.
type items struct {
	cache *cache.Cache[itemKey, item]
	tier  *redistier.Tier // nil: none
	reads *pgxpool.Pool
	keys  int
	size  int // of the cache; less than keys: some are always missing
	times loadTimes

	late   atomic.Int64 // reads that were not answered in time
	failed atomic.Int64 // reads that were answered by an error
}

const (
	readTimeout = 800 * time.Millisecond // of a reader; the load goes on for others
	loadTimeout = 1500 * time.Millisecond
	queryLimit  = 400 * time.Millisecond
)

func newItems(b bus.Bus, reads *pgxpool.Pool, cfg podConfig, log *slog.Logger) (*items, error) {
	it := &items{reads: reads, keys: cfg.Keys, size: cfg.Keys, times: cfg.Loads}

	c := &cache.Config[itemKey, item]{
		Size: cfg.Keys, TTL: cache.Forever, LoadTimeout: max(loadTimeout, 2*cfg.Loads.Sometimes), Logger: log,
		KeyString: func(k itemKey) string { return string(dataKey) + strconv.Itoa(int(k)) },
		ParseKey: func(text string) (itemKey, error) {
			kind, n := parseKey(text)
			if kind != dataKey {
				return 0, fmt.Errorf("%q is none of ours", text)
			}
			return itemKey(n), nil
		},
	}
	if cfg.Redis != "" {
		var err error
		if it.tier, err = redistier.New(&redistier.Config{URL: cfg.Redis, Logger: log}); err != nil {
			return nil, err
		}
		// Some are always missing, so that the tier is asked without an invalidation, too.
		it.size = max(cfg.Keys-cfg.Keys/12, 1)
		c.Tier, c.Size = it.tier, it.size
	}

	var err error
	if it.cache, err = cache.New(b, topic, cache.BatchFunc[itemKey, item](it.load), c); err != nil {
		it.close()
		return nil, err
	}

	it.cache.Weaken(hook.Token{}, cfg.CacheGuards)
	return it, nil
}

func (it *items) close() {
	if it.cache != nil {
		_ = it.cache.Close() // a load that does not end is told by the process that does not
	}
	if it.tier != nil {
		it.tier.Close()
	}
}

// load reads rows. Every other time it says in which snapshot.
func (it *items) load(ctx context.Context, keys []itemKey) (map[itemKey]cache.Loaded[item], error) {
	found, err := it.query(ctx, keys)
	if err != nil {
		return nil, err
	}
	return found, pause(ctx, it.times.one())
}

func (it *items) query(ctx context.Context, keys []itemKey) (map[itemKey]cache.Loaded[item], error) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()

	numbers := make([]int, len(keys))
	for i, key := range keys {
		numbers[i] = int(key)
	}

	rows, err := it.reads.Query(ctx, `SELECT key, version, pg_current_snapshot()::text, pg_is_in_recovery()
		FROM item WHERE key = ANY ($1)`, numbers)
	if err != nil {
		return nil, err
	}

	found, says := make(map[itemKey]cache.Loaded[item], len(keys)), rand.N(2) == 0
	var key int
	var version int64
	var text string
	var standby bool
	_, err = pgx.ForEachRow(rows, []any{&key, &version, &text, &standby}, func() (err error) {
		l := cache.Loaded[item]{Value: item{version}, Tags: []string{groupOf(key)}}
		if says {
			l.Snapshot, err = cache.ParseSnapshot(text, standby)
		}
		found[itemKey(key)] = l
		return err
	})
	return found, err
}

// read answers some or all keys.
func (it *items) read(ctx context.Context) []int64 {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()

	versions := make([]int64, it.keys)
	for i := range versions {
		versions[i] = absent
	}

	order := rand.Perm(it.keys)
	if rand.N(3) == 0 { // one by one
		for _, key := range order[:min(4, len(order))] {
			if v, err := it.cache.Get(ctx, itemKey(key)); err == nil {
				versions[key] = v.Version
			} else {
				it.fail(err)
			}
		}
		return versions
	}

	keys := make([]itemKey, it.keys)
	for i, key := range order { // in another order each time: an LRU would always lack what comes next
		keys[i] = itemKey(key)
	}

	found, err := it.cache.GetMany(ctx, keys)
	if err != nil {
		it.fail(err)
	}

	for key, v := range found {
		versions[key] = v.Version
	}

	return versions
}

// fail counts a read that was not answered.
func (it *items) fail(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		it.late.Add(1)
	} else {
		it.failed.Add(1)
	}
}

// held answers all keys, and is an error unless the cache holds as many as it can.
func (it *items) held(ctx context.Context) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()

	keys := make([]itemKey, it.keys)
	for i := range keys {
		keys[i] = itemKey(i)
	}

	found, err := it.cache.GetMany(ctx, keys)
	if err != nil {
		return nil, err
	}

	versions, n := make([]int64, it.keys), 0
	for key := range versions {
		versions[key] = found[itemKey(key)].Version
		if v, err := it.cache.Peek(itemKey(key)); err == nil {
			versions[key] = v.Version
			n++
		}
	}

	if n < it.size {
		return nil, fmt.Errorf("the cache holds %d keys, want %d", n, it.size)
	}

	return versions, nil
}

// CacheStats is what a pod's cache has done.
type CacheStats struct {
	Hits, Misses, Bypassed, Loads, Late, Failed  int64
	Refused                                      int64 // loaded and not stored
	TierHits, TierRefused, TierErrors, TierSkips int64
}

func (it *items) stats() (out CacheStats) {
	s := it.cache.Stats()
	out = CacheStats{
		Hits: s.Hits, Misses: s.Misses, Bypassed: s.Bypassed, Loads: s.Loads, Late: it.late.Load(), Failed: it.failed.Load(),
		TierHits: s.TierHits, TierRefused: s.TierRefused, TierErrors: s.TierErrors, TierSkips: s.TierSkipped,
	}
	for _, n := range s.RefusedFills {
		out.Refused += n
	}
	out.Refused -= s.TierRefused // both count it
	return out
}
