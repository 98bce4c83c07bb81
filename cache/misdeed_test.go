package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
)

// attack has one function of the application misbehave: the first call of it, once the attack is on.
type attack struct {
	target string
	do     func(*attack)

	on, done atomic.Bool
	release  chan struct{} // ends what blocks
	c        *cache.Cache[string, int]
	err      error // of a re-entrant Close
}

// call is called by every function of the application.
func (a *attack) call(name string) {
	if name != a.target || !a.on.Load() || a.done.Swap(true) {
		return
	}
	a.do(a)
}

// brokenError is an error whose methods belong to the application, too.
type brokenError struct {
	a    *attack
	name string
}

var errBroken = errors.New("broken")

func (e *brokenError) Error() string { return "broken" }

func (e *brokenError) Is(target error) bool {
	e.a.call(e.name) // a nil pointer panics here
	return target == errBroken
}

// hostileContext is a context whose values are the application's.
type hostileContext struct {
	context.Context //nolint:containedctx // it is one

	a *attack
}

type hostileKey struct{}

func (h hostileContext) Value(key any) any {
	if _, ok := key.(hostileKey); ok {
		h.a.call("ctx.Value")
	}
	return h.Context.Value(key)
}

// bulkAttack is a tier in which everything is hostile.
type bulkAttack struct {
	*memoryTier

	a *attack
}

func (b *bulkAttack) Get(ctx context.Context, key string) ([]byte, error) {
	b.a.call("Tier.Get")
	if b.a.target == "tier's error" {
		return nil, &brokenError{b.a, "tier's error"}
	}
	return b.memoryTier.Get(ctx, key)
}

func (b *bulkAttack) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	b.a.call("Tier.Set")
	return b.memoryTier.Set(ctx, key, value, ttl)
}

func (b *bulkAttack) Delete(ctx context.Context, keys ...string) error {
	b.a.call("Tier.Delete")
	return b.memoryTier.Delete(ctx, keys...)
}

func (b *bulkAttack) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	b.a.call("Tier.GetMany")
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i], _ = b.memoryTier.Get(ctx, key)
	}
	return values, nil
}

func (b *bulkAttack) SetMany(ctx context.Context, items []cache.TierItem) error {
	b.a.call("Tier.SetMany")
	for _, item := range items {
		if err := b.memoryTier.Set(ctx, item.Key, item.Value, item.TTL); err != nil {
			return err
		}
	}
	return nil
}

// hostileLoader is a loader, with or without LoadMany.
type hostileLoader struct{ a *attack }

func (h hostileLoader) Load(ctx context.Context, key string) (cache.Loaded[int], error) {
	h.a.call("Load")
	_ = ctx.Value(hostileKey{})
	if key == "broken" {
		return cache.Loaded[int]{}, &brokenError{h.a, "loader's error"}
	}
	return cache.Loaded[int]{Value: len(key)}, nil
}

type hostileBatch struct{ hostileLoader }

func (h hostileBatch) LoadMany(ctx context.Context, keys []string) (map[string]cache.Loaded[int], error) {
	h.a.call("LoadMany")
	found := map[string]cache.Loaded[int]{}
	for _, key := range keys {
		found[key], _ = h.Load(ctx, key)
	}
	return found, nil
}

type hostileCodec struct{ a *attack }

func (h hostileCodec) CodecName() string { h.a.call("CodecName"); return "hostile" }

func (h hostileCodec) Marshal(v int) ([]byte, error) {
	h.a.call("Marshal")
	return []byte(fmt.Sprint(v)), nil
}

func (h hostileCodec) Unmarshal(data []byte) (v int, err error) {
	h.a.call("Unmarshal")
	_, err = fmt.Sscan(string(data), &v)
	return v, err
}

// hostileHandler is where log lines go.
type hostileHandler struct {
	slog.Handler

	a *attack
}

func (h hostileHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h hostileHandler) Handle(context.Context, slog.Record) error { h.a.call("Logger"); return nil }

// The misdeeds, and what comes of each.
var (
	deeds = map[string]func(*attack){
		"panics":              func(*attack) { panic(errors.New("oh")) },
		"panics with nothing": func(*attack) { panic(nil) },
		"panics with a nil error": func(*attack) {
			panic((*brokenError)(nil))
		},
		"exits":  func(*attack) { runtime.Goexit() },
		"blocks": func(a *attack) { <-a.release },
		"uses the cache": func(a *attack) {
			_, _ = a.c.Get(context.Background(), "other")
			_, _ = a.c.Invalidate(context.Background(), "third")
			_, _ = a.c.InvalidateTags(context.Background(), "tag")
			_, _ = a.c.Peek("other")
			_ = a.c.Forget("third")
			a.c.Len()
			a.c.Stats()
			for range a.c.Keys() { //nolint:revive // every shard is listed
			}
		},
		"drops everything": func(a *attack) { _, _ = a.c.InvalidateAll(context.Background()) },
		"wants its own key": func(a *attack) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, _ = a.c.GetFresh(ctx, "a")
		},
		"closes": func(a *attack) { a.err = a.c.Close() },
	}
	outcomes = map[string]func(answer, bool) bool{
		"value":   func(a answer, ended bool) bool { return ended && a == answer{value: 1} },
		"panic":   func(a answer, ended bool) bool { return ended && errors.As(a.err, new(*cache.PanicError)) },
		"key":     func(a answer, ended bool) bool { return ended && errors.Is(a.err, cache.ErrKey) },
		"exit":    func(a answer, ended bool) bool { return ended && errors.Is(a.err, cache.ErrLoaderExit) },
		"timeout": func(a answer, ended bool) bool { return ended && errors.Is(a.err, cache.ErrLoadTimeout) },
		"closed":  func(a answer, ended bool) bool { return ended && errors.Is(a.err, cache.ErrClosed) },
		"broken":  func(a answer, ended bool) bool { return ended && errors.Is(a.err, errBroken) },
		// Of a function that runs on the reader's own goroutine.
		"gone":  func(a answer, ended bool) bool { return ended && a == answer{} },
		"stuck": func(_ answer, ended bool) bool { return !ended },
	}
)

// Every function of the application, and everything that it can do instead of returning. Each has a clear outcome for the
// reader; nothing stays locked or is leaked, other keys are served meanwhile, and the cache works when the function does.
func TestCallbacks_EveryMisdeedHasAnOutcome(t *testing.T) {
	t.Parallel()
	inLoad := map[string]string{ // where a load waits for it
		"panics": "panic", "exits": "exit", "blocks": "timeout", "uses the cache": "value", "drops everything": "value",
		"wants its own key": "value", "closes": "closed",
	}
	apart := map[string]string{ // where no reader waits for it, or not for long
		"panics": "value", "exits": "value", "blocks": "value", "uses the cache": "value", "drops everything": "value",
		"wants its own key": "value", "closes": "value",
	}
	ofReader := map[string]string{ // where it runs on the reader's goroutine
		"panics": "panic", "exits": "gone", "blocks": "stuck", "uses the cache": "value", "drops everything": "value",
		"wants its own key": "value", "closes": "value",
	}

	with := func(base map[string]string, changes ...string) map[string]string {
		changed := map[string]string{}
		for misdeed, outcome := range base {
			changed[misdeed] = outcome
		}

		for i := 0; i < len(changes); i += 2 {
			changed[changes[i]] = changes[i+1]
		}

		return changed
	}
	for target, want := range map[string]map[string]string{
		"Load":           inLoad,
		"LoadMany":       inLoad,
		"ctx.Value":      inLoad,
		"LoadContext":    with(inLoad, "wants its own key", "timeout"),
		"Cost":           with(inLoad, "panics", "value", "wants its own key", "value"),
		"NotFound":       with(inLoad, "uses the cache", "broken", "drops everything", "broken", "wants its own key", "broken"),
		"loader's error": with(inLoad, "uses the cache", "broken", "drops everything", "broken", "wants its own key", "broken"),
		"Unmarshal":      with(inLoad, "panics", "value", "exits", "value", "wants its own key", "timeout"),
		// Of keys that are looked up in the tier together, each is loaded by itself afterwards.
		"Unmarshal of many":   with(inLoad, "panics", "value", "exits", "value", "wants its own key", "timeout"),
		"LoadContext of many": with(inLoad, "panics", "value", "exits", "value", "wants its own key", "timeout"),
		"Marshal":             apart,
		"Tier.Get":            with(apart, "closes", "closed"),
		"Tier.GetMany":        with(apart, "closes", "closed"),
		"Tier.Set":            apart,
		"Tier.SetMany":        apart,
		"Tier.Delete":         with(apart, "closes", "closed"),
		"tier's error":        with(apart, "closes", "closed"),
		"OnEvict":             with(apart, "closes", "closed"),
		"ParseKey":            with(apart, "closes", "closed"),
		"Logger":              with(apart, "closes", "closed"),
		"KeyString":           with(ofReader, "panics", "key", "closes", "closed"),
		"Clone":               ofReader,
	} {
		want["panics with nothing"], want["panics with a nil error"] = want["panics"], want["panics"]
		for misdeed, do := range deeds {
			outcome := want[misdeed]
			require.Contains(t, outcomes, outcome, "%s %s", target, misdeed)
			t.Run(target+" "+misdeed, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { attackCache(t, target, misdeed, do, outcome) })
			})
		}
	}
}

func attackCache(t *testing.T, target, misdeed string, do func(*attack), outcome string) {
	target, many := strings.CutSuffix(target, " of many")
	many = many || target == "LoadMany" || target == "Tier.GetMany" || target == "Tier.SetMany"
	a := &attack{target: target, do: do, release: make(chan struct{})}
	tier := newTier()
	cfg := config()
	cfg.Tier, cfg.Codec = &bulkAttack{tier, a}, hostileCodec{a}
	cfg.MaxCost, cfg.FailureBackoff, cfg.LoadConcurrency = 1_000_000, -1, 2
	cfg.Logger = slog.New(hostileHandler{slog.DiscardHandler, a})
	cfg.Cost = func(string, int) int64 { a.call("Cost"); return 1 }
	cfg.KeyString = func(s string) string { a.call("KeyString"); return s }
	cfg.ParseKey = func(s string) (string, error) {
		a.call("ParseKey")
		if s == "no key" {
			return "", errBroken
		}
		return s, nil
	}
	cfg.Clone = func(v int) int { a.call("Clone"); return v }
	cfg.LoadContext = func(ctx context.Context) context.Context { a.call("LoadContext"); return ctx }
	cfg.NotFound = func(error) bool { a.call("NotFound"); return false }
	cfg.OnEvict = func(string, int, cache.EvictReason) { a.call("OnEvict") }
	b, load := newFake(), cache.Loader[string, int](hostileLoader{a})
	if target == "LoadMany" {
		load = hostileBatch{hostileLoader{a}}
	}
	if target == "Load" || target == "LoadMany" || target == "Cost" || target == "NotFound" || target == "loader's error" {
		cfg.TierTimeout = time.Minute // a tier that waits for a load is not what is tried here
	}
	c, err := cache.New(b, "item", load, cfg)
	require.NoError(t, err)
	a.c = c
	get := func(key string) (int, error) {
		ctx := hostileContext{t.Context(), a}
		if key == "a" && many {
			got, err := c.GetMany(ctx, []string{"a", "aa"})
			return got["a"], err
		}
		return c.Get(ctx, key)
	}

	// What is there before: an entry, and a value in the tier.
	for _, key := range []string{"kept", "a"} {
		_, err = get(key)
		require.NoError(t, err)
	}
	synctest.Wait() // the tier has it
	if target != "Unmarshal" {
		tier.mu.Lock()
		clear(tier.data)
		tier.mu.Unlock()
	}
	require.NoError(t, c.Forget("a", "aa"))
	synctest.Wait() // OnEvict has been called

	a.on.Store(true)
	key := "a"
	switch target {
	case "NotFound", "loader's error":
		key = "broken"
	case "ParseKey":
		b.key(200, "kept", "a")
	case "OnEvict":
		require.NoError(t, c.Forget("kept"))
		synctest.Wait()
	case "Logger":
		b.key(200, "no key")
	case "Tier.Delete":
		_, err = c.Invalidate(t.Context(), "kept")
		require.NoError(t, err)
		synctest.Wait() // it is deleted
	}
	var got answer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		got.value, got.err = get(key)
	}()
	select {
	case <-ended:
		require.True(t, outcomes[outcome](got, true), "%+v", got)
	case <-time.After(time.Hour):
		require.True(t, outcomes[outcome](answer{}, false), "the reader is stuck")
	}

	// Others are served while it blocks, and it works when it behaves.
	a.on.Store(false)
	if misdeed != "closes" {
		for _, key := range []string{"kept", "another", "a"} {
			v, err := c.Get(t.Context(), key)
			require.NoError(t, err)
			require.Len(t, key, v)
		}
		many, err := c.GetMany(t.Context(), []string{"kept", "one more", "and one"})
		require.NoError(t, err)
		require.Len(t, many, 3)
		_, err = c.Invalidate(t.Context(), "kept")
		require.NoError(t, err)
		synctest.Wait()
		require.Zero(t, c.Stats().Loading)
	}
	close(a.release)
	time.Sleep(time.Minute) // a Close from within waits for its own goroutine, in vain
	synctest.Wait()
	require.NoError(t, c.Close())
	if misdeed == "closes" && a.err != nil {
		require.ErrorContains(t, a.err, "have not ended", "who closes the cache from within a load is that load")
	}
}

// The functions that RunAudit calls.
func TestCallbacks_OfTheAuditor(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"Equal", "OnStale", "Load", "Logger"} {
		for misdeed, do := range deeds {
			if misdeed == "closes" {
				continue // that ends RunAudit
			}
			t.Run(target+" "+misdeed, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a := &attack{target: target, do: do, release: make(chan struct{})}
					version := 1
					var findings atomic.Int64
					cfg := config()
					cfg.Logger, cfg.Size = slog.New(hostileHandler{slog.DiscardHandler, a}), 10 // one shard, so each sample finds something
					cfg.Audit = &cache.AuditConfig[int]{
						Equal:   func(held, read int) bool { a.call("Equal"); return held == read },
						OnStale: func(cache.Finding) { findings.Add(1); a.call("OnStale") },
					}
					c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) {
						a.call("Load")
						return version, nil
					}), cfg)
					a.c = c
					get(t, c, "a")
					version = 2
					a.on.Store(true)
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error, 1)
					go func() { done <- c.RunAudit(ctx) }()
					time.Sleep(3 * time.Minute)
					close(a.release)
					time.Sleep(3 * time.Minute)
					cancel()
					require.NoError(t, <-done)
					s := c.Stats().Audit
					require.Greater(t, s.Checks+s.Skipped, int64(60), "it goes on")

					if misdeed != "drops everything" && misdeed != "wants its own key" { // then the entry is another one
						require.Positive(t, findings.Load())
					}
				})
			})
		}
	}
}

// A ParseKey that never returns holds the bus up once, not once for every event, and no goroutine is added for each.
func TestCallbacks_ParseKeyThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		release := make(chan struct{})
		cfg := config()
		cfg.KeyString = func(s string) string { return s }
		cfg.ParseKey = func(s string) (string, error) {
			calls.Add(1)
			<-release
			return s, nil
		}

		b, rows := newFake(), newTable()
		c := open(t, b, rows, cfg)
		begun := time.Now()

		for i := range 100 {
			rows.set("a", i)
			b.key(uint64(200+i), "a")
			require.Equal(t, i, get(t, c, "a"), "all is dropped")
		}

		require.EqualValues(t, 1, calls.Load())
		require.LessOrEqual(t, time.Since(begun), time.Second)
		close(release)
	})
}

// A tier that never returns costs a few readers their patience, and then nobody's, until it returns.
func TestCallbacks_TierThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		tier := newTier()
		tier.before = func(context.Context, string) error { <-release; return nil }
		rows := newTable()
		c := open(t, newFake(), rows, tiered(tier))
		for i := range 1000 {
			rows.set(fmt.Sprint(i), i)
			require.Equal(t, i, get(t, c, fmt.Sprint(i)))
			time.Sleep(time.Second)
		}

		tier.mu.Lock()
		require.LessOrEqual(t, tier.calls, 10)
		tier.mu.Unlock()
		close(release)
		synctest.Wait()
		time.Sleep(time.Minute)
		get(t, c, "1")
		rows.set("later", 1)
		get(t, c, "later")
		synctest.Wait() // it is written
		require.Contains(t, tier.plain(), "item:later", "it is in use again")
	})
}

// What a constructor is given is not trusted either.
func TestNew_CallbacksThatPanic(t *testing.T) {
	t.Parallel()
	load := cache.Func(func(context.Context, string) (int, error) { return 1, nil })
	cfg := tiered(newTier())
	a := &attack{target: "CodecName", do: deeds["panics"]}
	a.on.Store(true)
	cfg.Codec = hostileCodec{a}
	_, err := cache.New(newFake(), "item", load, cfg)
	require.ErrorIs(t, err, cache.ErrConfig)
	require.ErrorContains(t, err, "Codec")

	_, err = cache.New(newFake(), "item", cache.Func(func(context.Context, textKey) (int, error) { return 1, nil }),
		&cache.Config[textKey, int]{KeyColumn: "uuid"})
	require.ErrorIs(t, err, cache.ErrConfig)
	require.ErrorContains(t, err, "KeyColumn")

	_, err = cache.New((*fake)(nil), "item", load, nil)
	require.ErrorIs(t, err, cache.ErrConfig)
	require.ErrorContains(t, err, "bus is nil")

	// A constructor that fails returns a nil pointer, which in an interface is not nil.
	c := open(t, newFake(), load, tiered((*memoryTier)(nil)))
	require.Equal(t, 1, get(t, c, "a"))
	require.Zero(t, c.Stats().TierErrors)
}

// textKey panics when it is read.
type textKey [16]byte

func (textKey) MarshalText() ([]byte, error) { return nil, nil }
func (*textKey) UnmarshalText([]byte) error  { panic("textKey is read") }

// What a loader returns beside an error or a value.
func TestLoader_ReturnsWhatItShouldNot(t *testing.T) {
	t.Parallel()
	long := make([]byte, cache.MaxKeyLen)
	for name, test := range map[string]struct {
		loaded  cache.Loaded[int]
		err     error
		found   map[string]cache.Loaded[int]
		want    func(t *testing.T, v int, err error)
		refused string
	}{
		"nil error pointer": {err: (*brokenError)(nil), want: func(t *testing.T, _ int, err error) {
			require.ErrorAs(t, err, new(*cache.PanicError))
		}},
		"nil map":             {want: absent},
		"other keys":          {found: map[string]cache.Loaded[int]{"z": {Value: 7}}, want: absent},
		"value and error":     {loaded: cache.Loaded[int]{Value: 7}, err: errBroken, want: failed},
		"forever":             {loaded: cache.Loaded[int]{Value: 7, TTL: math.MaxInt64}, want: seven},
		"not to be kept":      {loaded: cache.Loaded[int]{Value: 7, TTL: math.MinInt64}, want: seven},
		"same tag twice":      {loaded: cache.Loaded[int]{Value: 7, Tags: []string{"x", "x", ""}}, want: seven},
		"tag too long":        {loaded: cache.Loaded[int]{Value: 7, Tags: []string{string(long)}}, want: seven, refused: "tag"},
		"tag with NUL":        {loaded: cache.Loaded[int]{Value: 7, Tags: []string{"a\x00"}}, want: seven, refused: "tag"},
		"tag that is no UTF8": {loaded: cache.Loaded[int]{Value: 7, Tags: []string{"ok", "\xff"}}, want: seven, refused: "tag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := open(t, newFake(), cache.BatchFunc[string, int](
				func(_ context.Context, keys []string) (map[string]cache.Loaded[int], error) {
					if test.loaded.Value != 0 {
						found := map[string]cache.Loaded[int]{}
						for _, key := range keys {
							found[key] = test.loaded
						}
						return found, test.err
					}
					return test.found, test.err
				}), impatient(config()))
			for range 2 {
				v, err := c.Get(t.Context(), "a")
				test.want(t, v, err)
				many, err := c.GetMany(t.Context(), []string{"a", "b"})
				if err == nil && len(many) == 0 {
					err = cache.ErrNotFound
				}
				test.want(t, many["a"], err)
			}

			if test.refused != "" {
				require.Positive(t, c.Stats().RefusedFills[test.refused])
				require.Zero(t, c.Len())
			}

			require.Zero(t, c.Stats().Loading)
		})
	}
}

// A panic is a panic, whatever its value: nothing is remembered of it.
func TestLoader_PanicsWithNotFound(t *testing.T) {
	t.Parallel()
	for _, value := range []error{cache.ErrNotFound, pgx.ErrNoRows, (*brokenError)(nil)} {
		c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) { panic(value) }), impatient(config()))
		for range 2 {
			_, err := c.Get(t.Context(), "a")
			var panicked *cache.PanicError
			require.ErrorAs(t, err, &panicked)
			require.Equal(t, value, panicked.Value)
			_, err = c.GetMany(t.Context(), []string{"a", "b"})
			require.ErrorAs(t, err, &panicked)
			require.Contains(t, err.Error(), "loader panicked")
		}

		s := c.Stats()
		require.EqualValues(t, 6, s.LoadPanics)
		require.Zero(t, s.LoadsNotFound+int64(s.Absent))
	}
}

func absent(t *testing.T, _ int, err error) {
	t.Helper()
	require.ErrorIs(t, err, cache.ErrNotFound)
}

func failed(t *testing.T, _ int, err error) {
	t.Helper()
	require.ErrorIs(t, err, errBroken)
}

func seven(t *testing.T, v int, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, 7, v)
}

// What the loader's errors mean to readers they mean to the auditor as well: a row that is gone is a difference.
func TestAudit_NoRowsIsADifference(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := false
		cfg := config()
		cfg.Audit = &cache.AuditConfig[int]{}
		c := open(t, newFake(), cache.Func(func(context.Context, string) (int, error) {
			if gone {
				return 0, pgx.ErrNoRows
			}
			return 1, nil
		}), cfg)
		get(t, c, "a")
		gone = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		require.NoError(t, c.RunAudit(ctx))
		require.Positive(t, c.Stats().Audit.Stale[time.Second])
	})
}

// A map cannot hold every key, and the error of many keys has one all the same.
func TestGetMany_KeysThatNoMapCanHold(t *testing.T) {
	t.Parallel()
	c := open(t, newFake(), cache.Func(func(context.Context, any) (int, error) { return 1, nil }), &cache.Config[any, int]{
		Logger: quiet, KeyString: func(k any) string { return fmt.Sprint(k) },
	})
	keys := []any{[]int{1}, map[int]int{}, math.NaN(), func() {}, [1]any{[]int{}}, struct{ v any }{[]int{}}, "fine", 2, "\xff", nil}
	got, err := c.GetMany(t.Context(), keys)
	require.Equal(t, map[any]int{"fine": 1, 2: 1, nil: 1}, got)
	var failed *cache.KeysError[any]
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, cache.ErrKey)
	require.Len(t, failed.Errors, 1, "of the key that cannot travel")
	require.ErrorContains(t, err, "6 keys more")
	require.ErrorAs(t, c.Warm(t.Context(), keys...), &failed)
	require.ErrorIs(t, c.Forget(keys...), cache.ErrKey)
	_, err = c.Peek("fine")
	require.ErrorIs(t, err, cache.ErrNotCached, "the others were forgotten")
	require.Zero(t, c.Stats().Loading)
}

// Every kind of value that can be a key, in an interface, so that one type of cache holds them all: it is loaded, served,
// named by an event, and forgotten.
func TestKeys_OfEveryKind(t *testing.T) {
	t.Parallel()
	type text string
	type inner struct {
		a int8
		b string
	}
	type outer struct {
		inner //nolint:unused // a field of a struct in the key

		_ float64
		c any
	}
	b, loads := newFake(), 0
	load := cache.Func(func(context.Context, any) (int, error) { loads++; return loads, nil })
	c := open(t, b, load, &cache.Config[any, int]{Logger: quiet, KeyString: func(k any) string { return fmt.Sprintf("%T %v", k, k) }})
	kinds := []any{
		nil, true, int8(1), int64(math.MinInt64), uint8(1), uint64(math.MaxUint64), uintptr(1), float32(1.5), math.Inf(1), 0.0,
		complex(1, 2), "a", "", text("a"),
		[0]int{},
		[2]string{"a", "b"},
		[3]byte{1},
		struct{}{},
		inner{1, "a"},
		outer{c: 7},
		outer{c: inner{}},
		new(int), make(chan int), time.Second, time.UTC, netip.MustParseAddr("::1"), time.Unix(1, 0).UTC(),
		&inner{},
		[1]any{[1]any{"deep"}},
		reflect.TypeFor[int](), uuid.Nil,
	}
	for round := range 2 {
		for i, key := range kinds {
			first, err := c.Get(t.Context(), key)
			require.NoError(t, err)
			again, err := c.Get(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, first, again)
			kept, err := c.Get(t.Context(), "kept")
			require.NoError(t, err)

			e, err := c.Event([]any{key})
			require.NoError(t, err)
			b.key(uint64(200+1000*round+i), e.Keys...)
			_, err = c.Peek(key)
			require.ErrorIs(t, err, cache.ErrNotCached)
			v, err := c.Peek("kept")
			require.NoError(t, err)
			require.Equal(t, kept, v)

			many, err := c.GetMany(t.Context(), []any{key, "kept", key})
			require.NoError(t, err)
			require.Contains(t, many, key)
			require.NoError(t, c.Forget(key))
			_, err = c.Peek(key)
			require.ErrorIs(t, err, cache.ErrNotCached)
		}
	}
	require.Zero(t, c.Stats().Loading)
}
