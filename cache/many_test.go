package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// batches records the batches that a loader was asked for.
type batches struct {
	mu   sync.Mutex
	list [][]string
	rows map[string]int
	err  error
	at   cache.Snapshot
	hook func()
}

func (b *batches) load(ctx context.Context, keys []string) (map[string]cache.Loaded[int], error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	sorted := slices.Sorted(slices.Values(keys))
	b.list = append(b.list, sorted)
	found := map[string]cache.Loaded[int]{}
	for _, k := range keys {
		if v, ok := b.rows[k]; ok {
			l := cache.Loaded[int]{Value: v, Tags: []string{"t" + k}}
			if !cache.WantPrimary(ctx) {
				l.Snapshot = b.at
			}
			found[k] = l
		}
	}

	if b.hook != nil {
		b.hook()
	}

	return found, b.err
}

func TestGetMany_AsksForWhatIsMissingInBatches(t *testing.T) {
	t.Parallel()
	rows := &batches{rows: map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}}
	cfg := config()
	cfg.MaxBatch = 2
	c := open(t, newFake(), cache.BatchFunc[string, int](rows.load), cfg)
	require.Equal(t, 1, get(t, c, "a"))
	rows.list = nil
	got, err := c.GetMany(t.Context(), []string{"a", "b", "c", "b", "d", "nothing"})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}, got)
	slices.SortFunc(rows.list, slices.Compare)
	require.Equal(t, [][]string{{"b", "c"}, {"d", "nothing"}}, rows.list)
	rows.list = nil
	_, err = c.GetMany(t.Context(), []string{"a", "b", "c", "d", "nothing"})
	require.NoError(t, err)
	require.Empty(t, rows.list, "all is held, and that there is nothing")
	require.EqualValues(t, 1, c.Stats().NegativeHits)
	got, err = c.GetMany(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestGetMany_OneKeyIsInvalidatedMeanwhile(t *testing.T) {
	t.Parallel()
	b := newFake()
	rows := &batches{rows: map[string]int{"a": 1, "b": 1}}
	rows.hook = func() {
		rows.rows["a"] = 2
		b.key(300, "a")
		rows.hook = nil
	}
	c := open(t, b, cache.BatchFunc[string, int](rows.load), config())
	got, err := c.GetMany(t.Context(), []string{"a", "b"})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 1, "b": 1}, got)
	_, ok := peek(c, "a")
	require.False(t, ok)
	_, ok = peek(c, "b")
	require.True(t, ok)
}

func TestGetMany_OnlyWhatIsBehindIsReadAgain(t *testing.T) {
	t.Parallel()
	b := newFake()
	rows := &batches{rows: map[string]int{"a": 1, "b": 1}, at: snapshot(t, "300:300:", true)}
	c := open(t, b, cache.BatchFunc[string, int](rows.load), config())
	b.key(300, "a")
	_, err := c.GetMany(t.Context(), []string{"a", "b"})
	require.NoError(t, err)
	require.Equal(t, [][]string{{"a", "b"}, {"a"}}, rows.list)
}

func TestGetMany_WithoutBatchesLoadsSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.LoadConcurrency = 2
		broken := errors.New("broken")
		c := open(t, newFake(), cache.Func(func(_ context.Context, key string) (int, error) {
			time.Sleep(time.Second)
			if key == "bad" {
				return 0, broken
			}
			return len(key), nil
		}), cfg)
		begun := time.Now()
		got, err := c.GetMany(t.Context(), []string{"1", "22", "333", "4444"})
		require.NoError(t, err)
		require.Equal(t, map[string]int{"1": 1, "22": 2, "333": 3, "4444": 4}, got)
		require.Equal(t, 2*time.Second, time.Since(begun))

		got, err = c.GetMany(t.Context(), []string{"1", "bad", "55555"})
		require.ErrorIs(t, err, broken)
		require.Equal(t, map[string]int{"1": 1, "55555": 5}, got, "the rest")

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = c.GetMany(ctx, []string{"666666", "7777777", "88888888"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestGetMany_StartsOverWhatATagHasEnded(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1, "x")
	rows.set("b", 1)
	rows.hold()
	b := newFake()
	c := open(t, b, rows, config())
	first := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, rows.began)
	rows.set("a", 2, "x")
	b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{cache.TagKey("x")}}, XIDs: []uint64{300}})
	both := ask(func() (int, error) {
		got, err := c.GetMany(context.Background(), []string{"a", "b"})
		return got["a"]*10 + got["b"], err
	})
	require.Equal(t, "b", receive(t, rows.began))
	rows.release <- struct{}{}
	rows.release <- struct{}{}
	require.Equal(t, 1, receive(t, first).value)
	require.Equal(t, "a", receive(t, rows.began))
	rows.release <- struct{}{}
	require.Equal(t, answer{21, nil}, receive(t, both))
}

func TestGetMany_BadKeysAndErrorsOfABatch(t *testing.T) {
	t.Parallel()
	rows := &batches{rows: map[string]int{"a": 1}, err: errors.New("broken")}
	c := open(t, newFake(), cache.BatchFunc[string, int](rows.load), impatient(config()))
	_, err := c.GetMany(t.Context(), []string{"a", "b"})
	require.ErrorContains(t, err, "broken")
	rows.err = nil
	got, err := c.GetMany(t.Context(), []string{"a\x00", "a"})
	require.ErrorIs(t, err, cache.ErrKey)
	require.Equal(t, map[string]int{"a": 1}, got)
}
