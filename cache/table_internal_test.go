package cache

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func newTable[K comparable, V any]() *table[K, V] {
	t := &table[K, V]{}
	t.init(maphash.MakeSeed())
	return t
}

// A table is a map, whatever is put in and taken out.
func TestTable_IsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table, model := newTable[int, int](), map[int]*entry[int, int]{}
		keys := rapid.IntRange(0, rapid.SampledFrom([]int{3, 40, 2000}).Draw(t, "keys"))
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "n") {
					k := keys.Draw(t, "key")
					if model[k] != nil {
						continue
					}
					model[k] = &entry[int, int]{key: k}
					table.insert(table.hash(k), model[k])
				}
			},
			"remove": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "n") {
					k := keys.Draw(t, "key")
					require.Equal(t, model[k] != nil, model[k] != nil && table.remove(table.hash(k), model[k]))
					delete(model, k)
				}
			},
			"empty": func(t *rapid.T) {
				for k, e := range model {
					require.True(t, table.remove(table.hash(k), e))
					delete(model, k)
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(model), table.live)
				n := 0
				for e := range table.all {
					require.Same(t, model[e.key], e)
					n++
				}

				require.Equal(t, len(model), n)

				for range 50 {
					k := keys.Draw(t, "found")
					require.Equal(t, model[k], table.find(table.hash(k), k))
				}
			},
		})
	})
}

// A table that has been large is small again when it is empty, and one in which entries come and go does not grow.
func TestTable_Shrinks(t *testing.T) {
	t.Parallel()
	table := newTable[int, int]()
	add := func(k int) *entry[int, int] {
		e := &entry[int, int]{key: k}
		table.insert(table.hash(k), e)
		return e
	}

	var held []*entry[int, int]
	for k := range 20_000 {
		held = append(held, add(k))
	}

	full := len(*table.groups.Load())
	require.Less(t, full*groupSize, 32_000)

	for k := range 60_000 {
		require.True(t, table.remove(table.hash(held[0].key), held[0]))
		held = append(held[1:], add(20_000+k))
	}

	require.Less(t, len(*table.groups.Load())*groupSize, 32_000)

	for _, e := range held {
		require.True(t, table.remove(table.hash(e.key), e))
	}

	require.Less(t, len(*table.groups.Load()), 10)
}

// Readers without a lock never find what was removed before they began, and always what has been there all the time and is
// not moved by a change at that moment: a second look finds it.
func TestTable_ConcurrentReaders(t *testing.T) {
	t.Parallel()
	const keys, stable = 500, 50
	table := newTable[int, int]()
	var removed [keys]atomic.Int64 // versions below this one are gone
	held := map[int]*entry[int, int]{}
	insert := func(k, version int) {
		held[k] = &entry[int, int]{key: k, value: version}
		table.insert(table.hash(k), held[k])
	}
	for k := range keys {
		insert(k, 0)
	}

	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(1, 2))
			for !stop.Load() {
				k := r.IntN(keys)
				least := removed[k].Load()
				e := table.find(table.hash(k), k)
				if e != nil && (e.key != k || int64(e.value) < least) {
					t.Errorf("key %d: found version %d of key %d, those below %d are gone", k, e.value, e.key, least)
					return
				}
			}
		})
	}
	for version := 1; version < 40; version++ {
		for k := stable; k < keys; k++ {
			table.remove(table.hash(k), held[k])
			removed[k].Store(int64(version))
			if version%3 != 0 || k%2 == 0 {
				insert(k, version)
			}
		}
		for k := range stable {
			require.NotNil(t, table.find(table.hash(k), k))
		}
	}
	stop.Store(true)
	readers.Wait()
}

// A shard is whole cache lines, and what hits read of it is on one that only a table's rebuilding writes to.
func TestShard_IsWholeCacheLines(t *testing.T) {
	t.Parallel()
	var s shard[string, [3]int]
	require.Zero(t, unsafe.Sizeof(s)%cacheLine)
	require.GreaterOrEqual(t, unsafe.Offsetof(s.table.live), uintptr(cacheLine))
	require.GreaterOrEqual(t, unsafe.Offsetof(s.mu), uintptr(cacheLine))
	require.EqualValues(t, cacheLine, unsafe.Sizeof(hitStripe{}))
}
