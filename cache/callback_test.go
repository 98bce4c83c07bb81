package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
)

// misdeeds are what a function of the application may do.
var misdeeds = map[string]func(again func()){
	"panics":     func(func()) { panic(errors.New("oh")) },
	"exits":      func(func()) { runtime.Goexit() },
	"re-entrant": func(again func()) { again() },
}

// Every function of Config and every misdeed: the caller gets an error or a value, nothing stays locked, and the cache goes
// on working when the function behaves.
func TestCallbacks_DoNoHarm(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"loader", "Cost", "KeyString", "ParseKey", "Clone", "LoadContext", "NotFound", "OnEvict", "Marshal", "Unmarshal",
		"tier Get", "tier Set", "tier Delete",
	} {
		for misdeed, do := range misdeeds {
			t.Run(name+" "+misdeed, func(t *testing.T) {
				t.Parallel()
				var c *cache.Cache[string, int]
				var on, inside atomic.Bool
				act := func(where string) {
					if where == name && on.Load() && inside.CompareAndSwap(false, true) {
						defer inside.Store(false)
						do(func() {
							_, _ = c.Get(context.Background(), "other")
							_, _ = c.Peek("other")
							c.Stats()
						})
					}
				}
				tier := newTier()
				tier.before = func(_ context.Context, op string) error {
					act("tier " + strings.ToUpper(op[:1]) + op[1:])
					return nil
				}
				cfg := config()
				cfg.Tier, cfg.Size, cfg.MaxCost = tier, 1, 1_000_000
				cfg.FailureBackoff = -1
				cfg.Cost = func(string, int) int64 { act("Cost"); return 1 }
				cfg.KeyString = func(s string) string { act("KeyString"); return s }
				cfg.ParseKey = func(s string) (string, error) { act("ParseKey"); return s, nil }
				cfg.Clone = func(v int) int { act("Clone"); return v }
				cfg.LoadContext = func(ctx context.Context) context.Context { act("LoadContext"); return ctx }
				cfg.NotFound = func(error) bool { act("NotFound"); return false }
				cfg.OnEvict = func(string, int, cache.EvictReason) { act("OnEvict") }
				cfg.Codec = actingCodec{act}
				broken := errors.New("broken")
				b := newFake()
				c = open(t, b, cache.Func(func(_ context.Context, key string) (int, error) {
					act("loader")
					if key == "broken" {
						return 0, broken
					}
					return len(key), nil
				}), cfg)

				use := func() {
					for _, key := range []string{"a", "bb", "broken", "a"} {
						for _, read := range []func(){
							func() { _, _ = c.Get(context.Background(), key) },
							func() { _, _ = c.GetMany(context.Background(), []string{key, "ccc"}) },
							func() { _, _ = c.Peek(key) },
							func() { b.key(200, key) },
							func() { _, _ = c.Invalidate(context.Background(), key) },
						} {
							done := make(chan struct{})
							go func() { // it may be ended
								defer close(done)
								read()
							}()
							receive(t, done)
						}
					}
				}
				use()
				on.Store(true)
				use()
				on.Store(false)
				eventually(t, func() bool {
					v, err := c.Get(t.Context(), "bb")
					return err == nil && v == 2 && c.Stats().Loading == 0
				}, "it works, and nothing is left")
				if misdeed == "panics" && name == "Cost" {
					require.Positive(t, c.Stats().CallbackPanics)
				}
			})
		}
	}
}

type actingCodec struct{ act func(string) }

func (a actingCodec) Marshal(v int) ([]byte, error) {
	a.act("Marshal")
	return []byte(fmt.Sprint(v)), nil
}

func (a actingCodec) Unmarshal(data []byte) (v int, err error) {
	a.act("Unmarshal")
	_, err = fmt.Sscan(string(data), &v)
	return v, err
}

// A ParseKey that never returns costs the bus a second, once; then everything is dropped.
func TestCallbacks_ParseKeyThatBlocks(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	var block atomic.Bool
	cfg := config()
	cfg.KeyString = func(s string) string { return s }
	cfg.ParseKey = func(s string) (string, error) {
		if block.Load() {
			<-gate
		}
		return s, nil
	}

	b, rows := newFake(), newTable()
	rows.set("a", 1)
	c := open(t, b, rows, cfg)
	get(t, c, "a")
	rows.set("a", 2)
	block.Store(true)
	b.key(200, "a")
	block.Store(false)
	close(gate)
	require.Equal(t, 2, get(t, c, "a"))
	require.Positive(t, c.Stats().CallbackPanics)
}

// Keys that no map can hold.
func TestKeys_ThatGoCannotHold(t *testing.T) {
	t.Parallel()
	c := open(t, newFake(), cache.Func(func(context.Context, any) (int, error) { return 1, nil }), &cache.Config[any, int]{
		Logger: quiet, KeyString: func(k any) string { return fmt.Sprint(k) },
	})

	type pair struct {
		n int
		v any
	}

	for name, key := range map[string]any{
		"slice": []int{1}, "map": map[int]int{}, "func": func() {}, "nested": pair{1, []string{"a"}},
		"NaN": math.NaN(), "NaN inside": pair{1, math.NaN()}, "array": [2]any{1, []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				_, err := c.Get(t.Context(), key)
				require.ErrorIs(t, err, cache.ErrKey)
				_, err = c.GetFresh(t.Context(), key)
				require.ErrorIs(t, err, cache.ErrKey)
				_, err = c.GetMany(t.Context(), []any{1})
				require.NoError(t, err)
				_, err = c.Peek(key)
				require.ErrorIs(t, err, cache.ErrKey)
				_, err = c.Invalidate(t.Context(), key)
				require.ErrorIs(t, err, cache.ErrKey)
				_, err = c.Get(t.Context(), "fine")
				require.NoError(t, err)
			}
			require.Zero(t, c.Stats().Loading)
		})
	}

	floats := open(t, newFake(), cache.Func(func(context.Context, float64) (int, error) { return 1, nil }),
		&cache.Config[float64, int]{Logger: quiet, KeyString: func(k float64) string { return fmt.Sprint(k) }})
	_, err := floats.Get(t.Context(), math.NaN())
	require.ErrorContains(t, err, "NaN")
	got, err := floats.GetMany(t.Context(), []float64{math.NaN(), 1})
	require.ErrorIs(t, err, cache.ErrKey)
	require.Equal(t, map[float64]int{1: 1}, got)
}
