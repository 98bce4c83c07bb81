package main

import (
	"context"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"
)

func staleOtter(_ context.Context, w *staleWorld) (*staleSide, error) {
	c, err := otter.New(&otter.Options[int64, int64]{
		MaximumSize:       10_000,
		ExpiryCalculator:  otter.ExpiryAccessing[int64, int64](time.Second),
		RefreshCalculator: otter.RefreshWriting[int64, int64](500 * time.Millisecond),
		Logger:            &otter.NoopLogger{}, // faults are no news here
	})
	if err != nil {
		return nil, err
	}

	s := &staleSide{name: "otter, TTL", about: "ExpiryAccessing(1 s) and RefreshWriting(500 ms), as in its README; no other pod is notified"}
	loader := otter.LoaderFunc[int64, int64](s.load(w))
	s.get = func(ctx context.Context, key int64) (int64, error) { return c.Get(ctx, key, loader) }
	s.change = func(ctx context.Context, key, version int64, end ending) error {
		return w.inTx(ctx, key, version, end, nil)
	}
	s.close = func() error {
		c.StopAllGoroutines()
		return nil
	}
	return s, nil
}

func staleSturdyc(_ context.Context, w *staleWorld) (*staleSide, error) {
	c := sturdyc.New[int64](10_000, 10, 2*time.Hour, 10, sturdyc.WithNoContinuousEvictions(), sturdyc.WithLog(&sturdyc.NoopLogger{}),
		sturdyc.WithEarlyRefreshes(10*time.Millisecond, 30*time.Millisecond, 30*time.Second, 10*time.Millisecond))
	s := &staleSide{name: "sturdyc", about: "early refreshes after 10 to 30 ms and a TTL of 2 h, as in its README; no other pod is notified"}
	load := s.load(w)
	s.get = func(ctx context.Context, key int64) (int64, error) {
		return c.GetOrFetch(ctx, strconv.FormatInt(key, 10), func(ctx context.Context) (int64, error) { return load(ctx, key) })
	}
	s.change = func(ctx context.Context, key, version int64, end ending) error {
		return w.inTx(ctx, key, version, end, nil)
	}
	s.close = func() error { return nil }
	return s, nil
}
