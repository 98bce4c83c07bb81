package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func TestLoad_ReadersOfOneKeyShareOne(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1)
	rows.hold()
	c := open(t, newFake(), rows, config())
	var answers []<-chan answer
	for range 10 {
		answers = append(answers, ask(func() (int, error) { return c.Get(context.Background(), "a") }))
	}

	receive(t, rows.began)
	eventually(t, func() bool { return c.Stats().Joined == 9 }, "all wait")
	rows.release <- struct{}{}

	for _, a := range answers {
		require.Equal(t, answer{1, nil}, receive(t, a))
	}

	require.EqualValues(t, 1, rows.loads.Load())
}

// A reader leaves at its own deadline; the load goes on for the others and, with CancelAbandoned, ends with the last.
func TestLoad_ReadersLeaveAtTheirOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		cfg := config()
		cfg.CancelAbandoned = true
		c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return 0, ctx.Err()
		}), cfg)

		begun := time.Now()
		for _, d := range []time.Duration{time.Second, 2 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				_, err := c.Get(ctx, "a")
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != d {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			}()
			synctest.Wait()
		}

		err := <-ended
		require.Equal(t, 2*time.Second, time.Since(begun))
		require.ErrorContains(t, err, "no reader waits")
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().LoadsCanceled)
		require.Zero(t, c.Stats().Loading)
	})
}

type ctxKey struct{}

func TestLoad_ContextHasTheValuesButNotTheDeadlineOfTheFirstCaller(t *testing.T) {
	t.Parallel()

	c := open(t, newFake(), cache.Func(func(ctx context.Context, _ string) (int, error) {
		deadline, ok := ctx.Deadline()
		if !ok || time.Until(deadline) < cache.DefaultLoadTimeout/2 {
			return 0, fmt.Errorf("deadline in %v", time.Until(deadline))
		}
		v, _ := ctx.Value(ctxKey{}).(int)
		return v, nil
	}), config())

	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, 7), time.Second*4)
	defer cancel()

	v, err := c.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, 7, v)
}

// A loader that never returns, and does not look at its context either.
func TestLoad_ThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		stuck := true
		cfg := config()
		cfg.LoadTimeout, cfg.LoadConcurrency = 5*time.Second, 1
		b := newFake()
		c := open(t, b, cache.Func(func(context.Context, string) (int, error) {
			if stuck {
				<-forever
			}
			return 1, nil
		}), cfg)

		b.reset(bus.ReasonCatchUp) // from now on one load at a time

		for i := range 3 {
			begun := time.Now()
			_, err := c.Get(t.Context(), string(rune('a'+i)))
			require.ErrorIs(t, err, cache.ErrLoadTimeout)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, cfg.LoadTimeout, time.Since(begun))
			synctest.Wait()
			require.Zero(t, c.Stats().Loading)
		}

		stuck = false
		require.Equal(t, 1, get(t, c, "d"), "the permit came back")
		close(forever)
	})
}

func TestLoad_PanicIsAnErrorForAll(t *testing.T) {
	t.Parallel()
	cause := errors.New("oh")
	gate := make(chan struct{})
	c := open(t, newFake(), cache.Func(func(_ context.Context, key string) (int, error) {
		<-gate
		if key == "exit" {
			runtime.Goexit()
		}
		panic(cause)
	}), config())

	var answers []<-chan answer
	for range 3 {
		answers = append(answers, ask(func() (int, error) { return c.Get(context.Background(), "a") }))
	}

	eventually(t, func() bool { return c.Stats().Joined == 2 }, "all wait")
	close(gate)

	for _, a := range answers {
		var panicked *cache.PanicError
		err := receive(t, a).err
		require.ErrorAs(t, err, &panicked)
		require.ErrorIs(t, err, cause)
		require.Contains(t, string(panicked.Stack), "load_test.go")
		require.NotContains(t, err.Error(), "load_test.go")
	}

	require.EqualValues(t, 1, c.Stats().LoadPanics)
	_, err := c.Get(t.Context(), "exit")
	require.ErrorIs(t, err, cache.ErrLoaderExit)
	require.NoError(t, (&cache.PanicError{Value: "text"}).Unwrap())
}

// Only so many loads run at once, whatever they are for; loads within loads need no permit.
func TestLoad_Bounded(t *testing.T) {
	t.Parallel()

	storms := map[string]func(c *cache.Cache[string, int], key string) error{
		"get": func(c *cache.Cache[string, int], key string) error {
			_, err := c.Get(context.Background(), key)
			return err
		},
		"fresh": func(c *cache.Cache[string, int], key string) error {
			_, err := c.GetFresh(context.Background(), key)
			return err
		},
		"many": func(c *cache.Cache[string, int], key string) error {
			_, err := c.GetMany(context.Background(), []string{key, key + "2"})
			return err
		},
	}
	for name, storm := range storms {
		for _, fresh := range []bool{true, false} {
			for _, batches := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, fresh %v, batches %v", name, fresh, batches), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						b := newFake()
						cfg := config()
						cfg.LoadConcurrency, cfg.LoadTimeout = 2, 2*time.Second // of each, from its own start
						inner := open(t, b, cache.Func(func(context.Context, string) (int, error) { return 1, nil }), cfg)
						var running, most atomic.Int64
						load := func(ctx context.Context, keys []string) (map[string]cache.Loaded[int], error) {
							most.Store(max(most.Load(), running.Add(1)))
							defer running.Add(-1)

							time.Sleep(time.Second)
							values, err := inner.GetMany(ctx, keys)
							found := make(map[string]cache.Loaded[int])
							for k, v := range values {
								found[k] = cache.Loaded[int]{Value: v}
							}

							return found, err
						}
						var loader cache.Loader[string, int] = cache.BatchFunc[string, int](load)
						if !batches {
							loader = struct{ cache.Loader[string, int] }{loader}
						}

						c := open(t, b, loader, cfg)

						if !fresh {
							stale(b, time.Hour)
						}

						var wg sync.WaitGroup
						for i := range 10 {
							wg.Go(func() {
								if err := storm(c, string(rune('a'+i))); err != nil {
									t.Error(err)
								}
							})
						}

						wg.Wait()
						require.EqualValues(t, 2, most.Load())
					})
				})
			}
		}
	}
}

func TestLoad_ThatWaitsForItself(t *testing.T) {
	t.Parallel()
	var c *cache.Cache[string, int]
	c = open(t, newFake(), cache.Func(func(ctx context.Context, key string) (int, error) {
		switch key {
		case "a":
			return c.Get(ctx, "b")
		case "b":
			return c.Get(ctx, "a")
		}
		return 0, nil
	}), config())
	_, err := c.Get(t.Context(), "a")
	require.ErrorIs(t, err, cache.ErrCycle)
}

func TestClose_EndsLoadsAndRefusesReaders(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	rows.set("b", 1)
	c, err := cache.New(b, "item", rows, config())
	require.NoError(t, err)
	get(t, c, "a")
	rows.hold()
	waiting := ask(func() (int, error) { return c.Get(context.Background(), "b") })
	receive(t, rows.began)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.ErrorIs(t, receive(t, waiting).err, cache.ErrClosed)

	for _, key := range []string{"a", "b"} {
		_, err = c.Get(t.Context(), key)
		require.ErrorIs(t, err, cache.ErrClosed)
		_, err = c.GetFresh(t.Context(), key)
		require.ErrorIs(t, err, cache.ErrClosed)
		_, ok := peek(c, key)
		require.False(t, ok)
	}

	_, err = c.GetMany(t.Context(), []string{"a"})
	require.ErrorIs(t, err, cache.ErrClosed)
	require.Empty(t, b.subscribers)
	require.Zero(t, c.Stats().Entries)
}

func TestClose_DoesNotWaitForeverForALoader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate, begun := make(chan struct{}), make(chan struct{})
		c, err := cache.New(newFake(), "item", cache.Func(func(context.Context, string) (int, error) {
			close(begun)
			<-gate
			return 0, nil
		}), config())
		require.NoError(t, err)
		waiting := ask(func() (int, error) { return c.Get(context.Background(), "b") })
		<-begun
		require.ErrorContains(t, c.Close(), "1 goroutines")
		require.ErrorIs(t, (<-waiting).err, cache.ErrClosed)
		close(gate)
	})
}
