package bus_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// many invalidates n things, one call each, in one transaction.
var many = map[string]func(tx *bus.LocalTx, n int){
	"keys": func(tx *bus.LocalTx, n int) {
		for i := range n {
			tx.Invalidate("item", fmt.Sprint(i%900)) // under MaxKeys
		}
	},
	"topics": func(tx *bus.LocalTx, n int) {
		for i := range n {
			tx.Invalidate(fmt.Sprint("topic ", i), "1")
		}
	},
	"savepoints": func(tx *bus.LocalTx, n int) {
		for i := range n {
			sp, _ := tx.Begin(context.Background())
			sp.Invalidate("item", fmt.Sprint(i%900))
			_ = sp.Commit(context.Background())
		}
	},
}

// TestInvalidateIsLinear: what many invalidations of one transaction allocate grows with their number, and not with its
// square. It runs alone, since it counts the allocations of the process.
func TestInvalidateIsLinear(t *testing.T) {
	for name, invalidate := range many {
		t.Run(name, func(t *testing.T) {
			each := func(n int) float64 {
				tx, err := bus.NewLocal().Begin(t.Context())
				require.NoError(t, err)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				invalidate(tx, n)
				runtime.ReadMemStats(&after)
				require.NoError(t, tx.Commit(t.Context()))
				return float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
			}
			few, lots := each(100), each(20_000)
			require.Less(t, lots, 2*few, "bytes for each invalidation, %.0f with few", few)
		})
	}
}

// TestFolding: whatever is invalidated in whatever order, what is published is one event a topic, with each key once and
// in the order of its first mention, or the whole topic.
func TestFolding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topics, keys := rapid.IntRange(1, 40).Draw(t, "topics"), rapid.IntRange(1, 1500).Draw(t, "keys")
		tx, err := bus.NewLocal().Begin(context.Background())
		require.NoError(t, err)
		var order []string
		want := map[string]*bus.Event{}
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			topic := fmt.Sprint("t", rapid.IntRange(1, topics).Draw(t, "topic"))
			first := rapid.IntRange(0, keys).Draw(t, "first key")
			count := rapid.IntRange(0, 200).Draw(t, "count")
			all := rapid.IntRange(0, 40).Draw(t, "all") == 0
			e := want[topic]
			if e == nil && (count > 0 || all) {
				e = &bus.Event{Topic: topic}
				want[topic], order = e, append(order, topic)
			}
			var some []string
			for i := range count {
				key := fmt.Sprint((first + i) % keys)
				some = append(some, key)
				known := e.All
				for _, k := range e.Keys {
					known = known || k == key
				}
				if !known {
					e.Keys = append(e.Keys, key)
				}
			}
			if e != nil && (all || len(e.Keys) > bus.DefaultMaxKeys) {
				e.All, e.Keys = true, nil
			}
			if all {
				tx.InvalidateAll(topic)
			}
			tx.Invalidate(topic, some...)
		}

		got := map[string][]bus.Event{}
		for _, e := range bus.EventsOf(tx) {
			got[e.Topic] = append(got[e.Topic], e)
		}
		require.Len(t, got, len(order))
		for i, topic := range order {
			require.Equal(t, []bus.Event{*want[topic]}, got[topic])
			require.Equal(t, topic, bus.EventsOf(tx)[i].Topic)
		}
	})
}

func BenchmarkInvalidate(b *testing.B) {
	for name, invalidate := range many {
		for _, n := range []int{1, 100, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					tx, _ := bus.NewLocal().Begin(context.Background())
					invalidate(tx, n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/invalidation")
			})
		}
	}
}
