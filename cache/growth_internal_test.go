package cache

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/shrinkmap"
)

// growthKey needs a KeyString; without a ParseKey its keys are in the index.
type growthKey struct{ n int }

// sizes are how many entries each map of a cache has, and for those that shrink how many it has had since it was made.
func (c *Cache[K, V]) sizes() map[string]int {
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	tags := c.tags.Sizes()
	sizes := map[string]int{
		"tags": tags.Tags, "tags, peak": tags.Peak, "invalidated tags": tags.Invalidated, "loads' begins": tags.Begins,
		"history": c.history.Len(), "failures": c.failures.keys.Len(), "logged": count(&c.logged), "refreshing": count(&c.refreshing),
		"transactions' types": count(&c.txTypes), "evictions": len(c.evictions.queue),
	}
	if x := c.names.index; x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		sizes["index"], sizes["index, peak"] = x.byKey.Len(), x.byKey.Peak()
		sizes["names"], sizes["names, peak"] = x.byName.Len(), x.byName.Peak()
	}

	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sizes["loads"] += s.loads.Len()
		sizes["loads, peak"] += s.loads.Peak()
		sizes["entries"] += s.table.live
		sizes["slots"] += len(*s.table.groups.Load()) * groupSize
		sizes["ghosts"] += len(s.values.fromProbation.slots) + len(s.values.outMain.slots)
		s.mu.Unlock()
	}

	return sizes
}

// After many distinct keys, each with a tag of its own, invalidations and resets, every map is as small as what is held.
// PGCOHERENCE_GROWTH=10000000 makes it ten million.
func TestGrowth_EveryMapIsBounded(t *testing.T) {
	t.Parallel()
	const size, atOnce = 2000, 4000
	total := 60_000
	if text := os.Getenv("PGCOHERENCE_GROWTH"); text != "" {
		var err error
		total, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	b := bus.NewLocal()
	load := BatchFunc[growthKey, int](func(_ context.Context, keys []growthKey) (map[growthKey]Loaded[int], error) {
		found := map[growthKey]Loaded[int]{}
		for _, k := range keys {
			if k.n%3 > 0 {
				found[k] = Loaded[int]{Value: k.n, Tags: []string{strconv.Itoa(k.n), "all of " + strconv.Itoa(k.n/1000)}}
			}
		}
		return found, nil
	})
	c, err := New(b, "item", load, &Config[growthKey, int]{
		Size: size, KeyString: func(k growthKey) string { return strconv.Itoa(k.n) }, MaxBatch: atOnce,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })

	ctx := t.Context()
	for from := 0; from < total; from += atOnce {
		keys := make([]growthKey, atOnce)
		for i := range keys {
			keys[i].n = from + i
		}
		_, err := c.GetMany(ctx, keys)
		require.NoError(t, err)
		_, err = c.Invalidate(ctx, keys[:atOnce/4]...)
		require.NoError(t, err)
		for _, k := range keys[atOnce/4 : atOnce/2] {
			_, err = c.InvalidateTags(ctx, strconv.Itoa(k.n))
			require.NoError(t, err)
		}
		if from/atOnce%5 == 4 {
			(&subscriber[growthKey, int]{c}).Reset(bus.ReasonEpoch)
		}
	}
	full := c.sizes()
	t.Logf("after %d keys: %v", total, full)
	const held = size + size/4 // values and absent keys
	for name, most := range map[string]int{
		"entries": held, "slots": 2 * held, "tags": 2 * held, "tags, peak": 8 * atOnce, "index": held, "index, peak": 8 * (held + atOnce),
		"names": held, "names, peak": 8 * (held + atOnce), "loads": 0, "loads, peak": shrinkmap.Least * len(c.shards), "loads' begins": 0,
		"history": DefaultInvalidationHistory, "failures": 0, "invalidated tags": fill.MaxRecentTags, "logged": 10, "refreshing": 0,
		"transactions' types": 10, "evictions": 0, "ghosts": 4 * held,
	} {
		require.LessOrEqual(t, full[name], most, name)
	}
	require.Len(t, full, 19, "each has a bound")

	// What is dropped gives its memory back.
	c.purge()
	empty := c.sizes()
	t.Logf("purged: %v", empty)
	for _, name := range []string{"tags", "index", "names", "loads"} {
		require.Zero(t, empty[name], name)
		require.LessOrEqual(t, empty[name+", peak"], shrinkmap.Least*len(c.shards), name)
	}
	require.LessOrEqual(t, empty["slots"], 4*groupSize*len(c.shards))
}
