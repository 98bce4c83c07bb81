package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// A load has read the old value; then it changes, and what is to be invalidated is; then the load ends.
func TestFill_LateValueIsNeverStored(t *testing.T) {
	t.Parallel()
	for name, invalidate := range map[string]func(*testing.T, *fake, *cache.Cache[string, int]){
		"key": func(t *testing.T, _ *fake, c *cache.Cache[string, int]) {
			_, err := c.Invalidate(t.Context(), "a")
			require.NoError(t, err)
		},
		"key of another pod": func(_ *testing.T, b *fake, _ *cache.Cache[string, int]) { b.key(200, "a") },
		"tag": func(t *testing.T, _ *fake, c *cache.Cache[string, int]) {
			_, err := c.InvalidateTags(t.Context(), "team:1")
			require.NoError(t, err)
		},
		"all": func(t *testing.T, _ *fake, c *cache.Cache[string, int]) {
			_, err := c.InvalidateAll(t.Context())
			require.NoError(t, err)
		},
		"reset":     func(_ *testing.T, b *fake, _ *cache.Cache[string, int]) { b.reset(bus.ReasonEpoch) },
		"uncertain": func(_ *testing.T, b *fake, _ *cache.Cache[string, int]) { b.deliver(uncertain("a")) },
	} {
		for _, exists := range []bool{true, false} {
			t.Run(name+map[bool]string{true: "", false: " absent"}[exists], func(t *testing.T) {
				t.Parallel()
				b, rows := newFake(), newTable()
				rows.set("a", 1, "team:0", "team:1")
				if !exists {
					rows.remove("a")
				}
				rows.hold()
				c := open(t, b, rows, config())
				before := ask(func() (int, error) { return c.Get(context.Background(), "a") })
				receive(t, rows.began)

				rows.set("a", 2, "team:0", "team:1")
				invalidate(t, b, c)
				after := ask(func() (int, error) { return c.Get(context.Background(), "a") })
				if name == "tag" {
					// The load's tags are not known yet, so the reader joins it; what it gets is another matter.
					eventually(t, func() bool { return c.Stats().Joined == 1 }, "joined")
				} else {
					receive(t, rows.began) // it began a load of its own
				}
				rows.release <- struct{}{}
				if name == "tag" {
					receive(t, rows.began)
				}
				rows.release <- struct{}{}

				got := receive(t, before)
				if name != "tag" || exists { // whichever load ended first
					if !exists && got.err != nil {
						require.ErrorIs(t, got.err, cache.ErrNotFound)
					} else {
						require.NoError(t, got.err)
					}
				}
				got = receive(t, after)
				if name == "tag" {
					require.Equal(t, answer{2, nil}, got)
				}
				rows.began = nil
				require.Equal(t, 2, get(t, c, "a"))
				require.Equal(t, 2, get(t, c, "a"))
			})
		}
	}
}

func uncertain(keys ...string) bus.Delivery {
	return bus.Delivery{Event: bus.Event{Keys: keys}, Local: true, Uncertain: true}
}

// Loads that end in the other order: the newer one has stored, then the older one comes.
func TestFill_OlderLoadDoesNotReplaceNewer(t *testing.T) {
	t.Parallel()
	gates := map[int]chan int{1: make(chan int), 2: make(chan int)}
	calls := make(chan int, 2)
	n := 0
	c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) {
		n++ // loads begin one after the other here
		gate := gates[n]
		calls <- n
		return <-gate, nil
	}), config())
	older := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, calls)
	newer := ask(func() (int, error) { return c.GetFresh(context.Background(), "a") })
	receive(t, calls)
	gates[2] <- 2
	require.Equal(t, answer{2, nil}, receive(t, newer))
	gates[1] <- 1
	require.Equal(t, answer{1, nil}, receive(t, older), "who came before may get what was then")
	require.Equal(t, 2, get(t, c, "a"))
}

func TestFill_GetFreshNeverJoinsAnOlderLoad(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1)
	rows.hold()
	c := open(t, newFake(), rows, config())
	older := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, rows.began)
	rows.set("a", 2) // nothing is said: only GetFresh can know
	fresh := ask(func() (int, error) { return c.GetFresh(context.Background(), "a") })
	receive(t, rows.began)
	joining := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	eventually(t, func() bool { return c.Stats().Joined == 1 }, "joined")
	rows.release <- struct{}{}
	rows.release <- struct{}{}
	require.Equal(t, 1, receive(t, older).value)
	require.Equal(t, 2, receive(t, fresh).value)
	require.Equal(t, 2, receive(t, joining).value)
	rows.began = nil
	require.Equal(t, 2, get(t, c, "a"))
}

func TestFill_TagsOfStoredEntries(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1, "x", "y")
	rows.set("b", 1, "y", "y")
	rows.set("c", 1)

	c := open(t, newFake(), rows, config())
	for _, k := range []string{"a", "b", "c"} {
		get(t, c, k)
	}

	for _, k := range []string{"a", "b", "c"} {
		rows.set(k, 2, "y")
	}

	_, err := c.InvalidateTags(t.Context(), "x", "nobody's")
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1}, []int{get(t, c, "a"), get(t, c, "b"), get(t, c, "c")})
	_, err = c.InvalidateTags(t.Context(), "y")
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 1}, []int{get(t, c, "a"), get(t, c, "b"), get(t, c, "c")})
	require.EqualValues(t, 6, rows.loads.Load())
}

// The tag is invalidated twice while a load runs, once before and once after a reader has joined.
func TestFill_TagInvalidatedTwiceAroundAJoin(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1, "x")
	rows.hold()
	c := open(t, newFake(), rows, config())
	first := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, rows.began)
	rows.set("a", 2, "x")
	_, err := c.InvalidateTags(t.Context(), "x")
	require.NoError(t, err)
	joined := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	eventually(t, func() bool { return c.Stats().Joined == 1 }, "joined")
	_, err = c.InvalidateTags(t.Context(), "x")
	require.NoError(t, err)
	rows.release <- struct{}{}
	require.Equal(t, answer{1, nil}, receive(t, first))
	receive(t, rows.began)
	rows.release <- struct{}{}
	require.Equal(t, answer{2, nil}, receive(t, joined))
	require.EqualValues(t, 1, c.Stats().LoadsRestarted)
}

// More tags are invalidated during a load than are remembered: it counts as if it were one of them.
func TestFill_ForgottenTags(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1, "x")
	rows.set("b", 1)
	rows.hold()
	c := open(t, b, rows, config())
	a := ask(func() (int, error) { return c.Get(context.Background(), "a") })
	receive(t, rows.began)
	plain := ask(func() (int, error) { return c.Get(context.Background(), "b") })
	receive(t, rows.began)
	b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{cache.TagKey("x")}}, XIDs: []uint64{200}})

	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = cache.TagKey("other" + string(rune('a'+i%26)) + string(rune(0x4e00+i)))
	}

	b.deliver(bus.Delivery{Event: bus.Event{Keys: keys}, XIDs: []uint64{201}})
	rows.release <- struct{}{}
	rows.release <- struct{}{}
	receive(t, a)
	receive(t, plain)
	rows.began = nil
	_, ok := peek(c, "a")
	require.False(t, ok)
	_, ok = peek(c, "b")
	require.True(t, ok, "it has no tags")
}

// A commit of unknown outcome: nothing of the key is stored until the bus is in sync as of then.
func TestFill_HeldBackWhileACommitIsUncertain(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	rows.set("b", 1)
	c := open(t, b, rows, config())
	get(t, c, "a")
	b.set(func(f *fake) { f.proven = f.proven.AddDate(-1, 0, 0) })
	b.deliver(uncertain("a"))

	for range 3 {
		require.Equal(t, 1, get(t, c, "a"))
		require.Equal(t, 1, get(t, c, "b"))
	}

	require.EqualValues(t, 1+3+1, rows.loads.Load())
	require.EqualValues(t, 3, c.Stats().RefusedFills["uncertain"])
	b.set(func(f *fake) { f.proven = f.proven.AddDate(1, 0, 0) })
	get(t, c, "a")
	get(t, c, "a")
	require.EqualValues(t, 6, rows.loads.Load())
}

func TestFill_NothingIsStoredWithoutAPosition(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	c := open(t, b, rows, config())
	b.set(func(f *fake) { f.noPosition = true })
	get(t, c, "a")
	get(t, c, "a")
	require.EqualValues(t, 2, rows.loads.Load())
	require.EqualValues(t, 2, c.Stats().RefusedFills["position"])
}

func TestFill_ErrorsAreNotStored(t *testing.T) {
	t.Parallel()
	broken, calls := errors.New("broken"), 0
	c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) { calls++; return 0, broken }), impatient(config()))
	for range 2 {
		_, err := c.Get(t.Context(), "a")
		require.ErrorIs(t, err, broken)
	}
	require.Equal(t, 2, calls)
	require.EqualValues(t, 2, c.Stats().LoadErrors)
}
