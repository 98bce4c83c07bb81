package cache_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

type (
	name string
	id   uint8
	pair struct{ a, b int }
)

// travels checks that a key comes back from the event that its text makes.
func travels[K comparable](t *testing.T, cfg *cache.Config[K, int], wire string, key, other K, foreign ...string) {
	t.Helper()
	b, loads := newFake(), 0
	c := open(t, b, cache.Func(func(context.Context, K) (int, error) { loads++; return loads, nil }), cfg)
	e, err := c.Event([]K{key})
	require.NoError(t, err)
	require.Equal(t, bus.Event{Topic: "item", Keys: []string{wire}}, e)

	for i, said := range append([]string{wire}, foreign...) {
		first, err := c.Get(t.Context(), key)
		require.NoError(t, err)
		kept, err := c.Get(t.Context(), other)
		require.NoError(t, err)
		b.key(uint64(200+i), said)
		_, ok := peek(c, key)
		require.False(t, ok, said)
		v, ok := peek(c, other)
		require.True(t, ok, said)
		require.Equal(t, kept, v)
		again, err := c.Get(t.Context(), key)
		require.NoError(t, err)
		require.Greater(t, again, first)
	}

	b.key(300, "not a key of this type", "-1", "99999999999999999999999", "", "~", "~#", "~=", "~=~", "~~~")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	u := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	travels(t, nil, "a", "a", "b")
	travels(t, nil, "", "", "b")
	travels(t, nil, "~=~a", "~a", "a", "~a")
	travels(t, nil, "~=~#x", "~#x", "x", "~#x")
	travels(t, nil, "n", name("n"), name("o"))
	travels(t, nil, "-7", -7, 8, "-007")
	travels(t, nil, "9223372036854775807", int64(1<<63-1), int64(1))
	travels(t, nil, "200", id(200), id(1))
	travels(t, nil, u.String(), u, uuid.Nil, strings.ToUpper(u.String()))
	travels(t, nil, "01ff", [2]byte{1, 255}, [2]byte{}, "01FF")
	format := func(p pair) string { return strconv.Itoa(p.a) + "/" + strconv.Itoa(p.b) }
	travels(t, &cache.Config[pair, int]{KeyString: format}, "1/2", pair{1, 2}, pair{2, 1})

	travels(t, &cache.Config[pair, int]{KeyString: format, ParseKey: func(s string) (p pair, err error) {
		a, b, ok := strings.Cut(s, "/")
		if !ok {
			return p, errors.New("no slash")
		}

		p.a, err = strconv.Atoi(a)
		if err == nil {
			p.b, err = strconv.Atoi(b)
		}

		return p, err
	}}, "1/2", pair{1, 2}, pair{2, 1}, "01/02")
}

// Several keys with one text are one for invalidation.
func TestKeys_OfOneText(t *testing.T) {
	t.Parallel()
	b := newFake()
	c := open(t, b, cache.Func(func(_ context.Context, k string) (int, error) { return len(k), nil }),
		&cache.Config[string, int]{KeyString: strings.ToLower})
	for _, k := range []string{"a", "A", "b"} {
		get(t, c, k)
	}
	b.key(200, "a")
	require.Equal(t, 1, c.Stats().Entries)
	_, ok := peek(c, "b")
	require.True(t, ok)
}

func TestKeys_ThatCannotTravel(t *testing.T) {
	t.Parallel()
	c := open(t, newFake(), newTable(), config())
	for _, key := range []string{strings.Repeat("k", 1025), "~" + strings.Repeat("k", 1022), "\xff", "a\x00b"} {
		_, err := c.Get(t.Context(), key)
		require.ErrorIs(t, err, cache.ErrKey)
		_, err = c.Invalidate(t.Context(), "fine", key)
		require.ErrorIs(t, err, cache.ErrKey)
	}

	_, err := c.Get(t.Context(), strings.Repeat("k", 1025))
	require.ErrorContains(t, err, "1025 bytes, at most 1024")
	_, err = c.InvalidateTags(t.Context(), strings.Repeat("t", 1023))
	require.ErrorContains(t, err, "tag has 1025 bytes, at most 1024")
	_, err = c.Get(t.Context(), strings.Repeat("k", 1024))
	require.ErrorIs(t, err, cache.ErrNotFound)
}

// A panic of the caller's functions does not reach the bus: what was told then counts for all keys.
func TestKeys_ParseKeyPanics(t *testing.T) {
	t.Parallel()
	b := newFake()

	cfg := &cache.Config[string, int]{KeyString: strings.Clone, Logger: quiet, ParseKey: func(s string) (string, error) {
		if s == "bad" {
			panic("no")
		}
		return s, nil
	}}
	c := open(t, b, cache.Func(func(context.Context, string) (int, error) { return 1, nil }), cfg)
	get(t, c, "a")
	b.key(200, "bad")
	_, ok := peek(c, "a")
	require.False(t, ok)
	get(t, c, "a")
	_, ok = peek(c, "a")
	require.True(t, ok)
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	load := cache.Func(func(context.Context, string) (int, error) { return 0, nil })
	for want, make := range map[string]func() error{
		"bus": func() error { return fail(cache.New(nil, "item", load, nil)) },
		"loader": func() error {
			return fail(cache.New[string, int](newFake(), "item", nil, nil))
		},
		"loader is": func() error { return fail(cache.New(newFake(), "item", cache.Func[string, int](nil), nil)) },
		"topic is":  func() error { return fail(cache.New(newFake(), "", load, nil)) },
		"topic has": func() error { return fail(cache.New(newFake(), strings.Repeat("t", 201), load, nil)) },
		"NUL":       func() error { return fail(cache.New(newFake(), "a\x00", load, nil)) },
		"KeyString": func() error {
			return fail(cache.New(newFake(), "item", cache.Func(func(context.Context, pair) (int, error) { return 0, nil }), nil))
		},
		"Tier: requires a bus": func() error { return fail(cache.New(foreign{newFake()}, "item", load, tiered(newTier()))) },
		"WhenStale: requires a bus": func() error {
			return fail(cache.New(foreign{newFake()}, "item", load, &cache.Config[string, int]{WhenStale: cache.ServeFor(1)}))
		},
		"StaleOnError: requires a bus": func() error {
			return fail(cache.New(foreign{newFake()}, "item", load, &cache.Config[string, int]{StaleOnError: 1}))
		},
		"WhenStale and StaleOnError": func() error {
			b := newFake()
			b.lease = 1
			return fail(cache.New(b, "item", load, &cache.Config[string, int]{StaleOnError: 2}))
		},
	} {
		err := make()
		require.ErrorIs(t, err, cache.ErrConfig, want)
		require.ErrorContains(t, err, want)
	}

	for field, cfg := range map[string]cache.Config[string, int]{
		"Size:": {Size: -1}, "NegativeSize:": {NegativeSize: -1}, "TTL:": {TTL: -1}, "NegativeTTL:": {NegativeTTL: -1},
		"Jitter:": {Jitter: 1.5}, "MaxCost:": {MaxCost: -1}, "MaxCost needs": {MaxCost: 1},
		"ParseKey needs": {ParseKey: func(s string) (string, error) { return s, nil }},
		"StaleOnError:":  {StaleOnError: -1}, "ServeFor": {WhenStale: cache.ServeFor(-1)}, "LoadTimeout:": {LoadTimeout: -1},
		"LoadConcurrency:": {LoadConcurrency: -1}, "MaxBatch:": {MaxBatch: -1}, "TierTimeout:": {TierTimeout: 1}, "InvalidationHistory:": {InvalidationHistory: -1},
		"RefreshAhead: -1": {RefreshAhead: -1}, "RefreshAhead: 5m": {RefreshAhead: 5 * time.Minute}, "Name is": {Name: "\xff"},
		"Audit.Rate:": {Audit: &cache.AuditConfig[int]{Rate: -1}},
	} {
		err := fail(cache.New(newFake(), "item", load, &cfg))
		require.ErrorIs(t, err, cache.ErrConfig, field)
		require.ErrorContains(t, err, field)
	}
}

func fail[T any](_ T, err error) error { return err }

// A bus of somebody else's: Fresh decides, and there are no positions.
func TestForeignBus(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	c := open(t, foreign{b}, rows, config())
	get(t, c, "a")
	get(t, c, "a")
	require.EqualValues(t, 1, rows.loads.Load())
	stale(b, -1)
	get(t, c, "a")
	require.EqualValues(t, 2, rows.loads.Load())
	stale(b, 0)
	b.deliver(uncertain("a"))
	get(t, c, "a")
	require.EqualValues(t, 3, rows.loads.Load())

	r := &replica{at: snapshot(t, "500:500:", true), old: 1, new: 2}
	require.Equal(t, 2, get(t, open(t, foreign{b}, r, config()), "a"), "of a standby nothing is known")
	_, err := c.Stage(t.Context(), nil, "a")
	require.ErrorIs(t, err, cache.ErrUnsupported)
	_, err = c.StageSQL(t.Context(), nil, "a")
	require.ErrorIs(t, err, cache.ErrUnsupported)
	require.ErrorIs(t, c.InvalidateTx(nil, "a"), cache.ErrForeignTx)
}

func TestTwoCachesOnOneTopic(t *testing.T) {
	t.Parallel()
	b := bus.NewLocal()
	one, two := newTable(), newTable()
	for _, rows := range []*table{one, two} {
		rows.set("a", 1)
	}

	c1, c2 := open(t, b, one, config()), open(t, b, two, config())
	get(t, c1, "a")
	get(t, c2, "a")
	r, err := c1.Invalidate(t.Context(), "a")
	require.NoError(t, err)

	for _, c := range []*cache.Cache[string, int]{c1, c2} {
		_, ok := peek(c, "a")
		require.False(t, ok)
	}

	v, err := c2.GetAfter(t.Context(), "a", r)
	require.NoError(t, err)
	require.Equal(t, 1, v)
	require.Equal(t, "item", c1.Topic())
	none, err := c1.Invalidate(t.Context())
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.True(t, slices.Contains([]string{"item"}, c2.Topic()))
}
