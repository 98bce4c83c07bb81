package cache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

// sharing reports whether two caches of a topic, of whatever programs, share what the first puts into a tier.
func sharing[A, B any](t *testing.T, cfgA *cache.Config[string, A], cfgB *cache.Config[string, B]) bool {
	t.Helper()
	tier := cachetest.NewMemoryTier()
	cfgA.Tier, cfgB.Tier, cfgA.Logger, cfgB.Logger = tier, tier, quiet, quiet
	ca := open(t, newFake(), cache.Func(func(context.Context, string) (a A, err error) { return a, nil }), cfgA)
	loaded := false
	cb := open(t, newFake(), cache.Func(func(context.Context, string) (b B, err error) {
		loaded = true
		return b, nil
	}), cfgB)
	_, err := ca.Get(t.Context(), "k")
	require.NoError(t, err)
	eventually(t, func() bool { return ca.Stats().TierSets == 1 }, "stored")
	_, err = cb.Get(t.Context(), "k")
	require.NoError(t, err)
	eventually(t, func() bool { return !loaded || cb.Stats().TierSets == 1 }, "stored")

	if loaded {
		require.Equal(t, 2, tier.Len(), "neither overwrites the other's")
	}

	return !loaded
}

// A program reads what it wrote itself, or what another version wrote in which the values are the same.
func TestTierKey_Versions(t *testing.T) {
	t.Parallel()
	type inner struct{ A int }
	type v1 struct {
		Name  string
		Inner []inner
	}
	type renamed struct {
		Name  string
		Inner []inner
	}
	type added struct {
		Name  string
		Inner []inner
		Age   int
	}
	type tagged struct {
		Name  string `json:"n"`
		Inner []inner
	}
	type retyped struct {
		Name  []byte
		Inner []inner
	}
	type inner2 struct{ A, B int }
	type nested struct {
		Name  string
		Inner []inner2
	}
	none := func() *cache.Config[string, v1] { return &cache.Config[string, v1]{} }
	require.True(t, sharing(t, none(), none()))
	require.True(t, sharing(t, none(), &cache.Config[string, renamed]{}))
	require.False(t, sharing(t, none(), &cache.Config[string, added]{}))
	require.False(t, sharing(t, none(), &cache.Config[string, tagged]{}))
	require.False(t, sharing(t, none(), &cache.Config[string, retyped]{}))
	require.False(t, sharing(t, none(), &cache.Config[string, nested]{}))
	require.False(t, sharing(t, none(), &cache.Config[string, *v1]{}))

	// Whoever sets the version decides alone.
	require.True(t, sharing(t, &cache.Config[string, v1]{TierVersion: "1"}, &cache.Config[string, added]{TierVersion: "1"}))
	require.False(t, sharing(t, &cache.Config[string, v1]{TierVersion: "1"}, &cache.Config[string, v1]{TierVersion: "2"}))
	require.False(t, sharing(t, &cache.Config[string, v1]{TierVersion: "1"}, none()))

	// What a codec writes is not for another one.
	compressed := func() *cache.Config[string, v1] {
		return &cache.Config[string, v1]{Codec: cache.Compressed(cache.JSON[v1]())}
	}
	require.True(t, sharing(t, compressed(), compressed()))
	require.False(t, sharing(t, none(), compressed()))
	require.False(t, sharing(t, none(), &cache.Config[string, v1]{Codec: nameless[v1]{cache.JSON[v1]()}}))
}

type nameless[V any] struct{ cache.Codec[V] }

// Two databases on one Redis neither read nor overwrite each other's values.
func TestTierKey_Databases(t *testing.T) {
	t.Parallel()
	tier := newTier()
	production, staging := newTable(), newTable()
	production.set("a", 1)
	staging.set("a", 2)
	bp, bs := newFake(), newFake()
	bs.epoch = "staging"
	cp, cs := open(t, bp, production, tiered(tier)), open(t, bs, staging, tiered(tier))
	require.Equal(t, 1, get(t, cp, "a"))
	stored(t, cp, 1)
	require.Equal(t, 2, get(t, cs, "a"))
	stored(t, cs, 1)
	require.Len(t, tier.keys(), 2)

	again := open(t, newFake(), production, tiered(tier))
	require.Equal(t, 1, get(t, again, "a"))
	require.EqualValues(t, 1, again.Stats().TierHits)

	// What is invalidated is deleted under the name that it was stored by.
	_, err := cs.Invalidate(t.Context(), "a")
	require.NoError(t, err)
	eventually(t, func() bool { return len(tier.keys()) == 1 }, "deleted")
	require.EqualValues(t, 1, production.loads.Load())
}

// Keys that KeyString gives the same text are not given each other's values.
func TestTierKey_NotInjective(t *testing.T) {
	t.Parallel()
	type key struct{ tenant, user string }
	tier := cachetest.NewMemoryTier()
	cfg := func() *cache.Config[key, string] {
		return &cache.Config[key, string]{
			KeyString: func(k key) string { return k.tenant + ":" + k.user }, Tier: tier, Logger: quiet, TierAbsent: true,
		}
	}
	load := cache.Func(func(_ context.Context, k key) (string, error) {
		if k.user == "none" {
			return "", cache.ErrNotFound
		}
		return k.tenant + " has " + k.user, nil
	})
	one, other := key{"acme", "bob:x"}, key{"acme:bob", "x"}
	for range 3 {
		for _, k := range []key{one, other} {
			c := open(t, newFake(), load, cfg())
			v, err := c.Get(t.Context(), k)
			require.NoError(t, err)
			require.Equal(t, k.tenant+" has "+k.user, v)
			eventually(t, func() bool { s := c.Stats(); return s.TierSets+s.TierHits == 1 }, "stored")
			many, err := open(t, newFake(), load, cfg()).GetMany(t.Context(), []key{one, other})
			require.NoError(t, err)
			require.Equal(t, map[key]string{one: "acme has bob:x", other: "acme:bob has x"}, many)
		}
	}

	// With JoinKey they share nothing, and the tier serves both.
	joined := func() *cache.Config[key, string] {
		c := cfg()
		c.KeyString = func(k key) string { return cache.JoinKey(k.tenant, k.user) }
		return c
	}
	first := open(t, newFake(), load, joined())
	_, err := first.GetMany(t.Context(), []key{one, other})
	require.NoError(t, err)
	eventually(t, func() bool { return first.Stats().TierSets == 2 }, "stored")
	second := open(t, newFake(), load, joined())
	_, err = second.GetMany(t.Context(), []key{one, other})
	require.NoError(t, err)
	require.EqualValues(t, 2, second.Stats().TierHits)
}

// A key that means something in this process only cannot be told from others in a tier.
func TestTierKey_NotPortable(t *testing.T) {
	t.Parallel()
	type pointing struct {
		p *int //nolint:unused // part of the type's shape
	}
	cfg := &cache.Config[pointing, int]{KeyString: func(pointing) string { return "x" }, Tier: newTier()}
	_, err := cache.New(newFake(), "item", cache.Func(func(context.Context, pointing) (int, error) { return 1, nil }), cfg)
	require.ErrorIs(t, err, cache.ErrConfig)
	require.ErrorContains(t, err, "*int means nothing to another process")

	at := time.Now()
	type timed struct {
		at time.Time
		n  any //nolint:unused // part of the type's shape
	}
	ok := &cache.Config[timed, int]{KeyString: func(k timed) string { return k.at.Format(time.RFC3339Nano) }, Tier: newTier()}
	c := open(t, newFake(), cache.Func(func(context.Context, timed) (int, error) { return 1, nil }), ok)
	_, err = c.Get(t.Context(), timed{at: at})
	require.NoError(t, err)
	eventually(t, func() bool { return c.Stats().TierSets == 1 }, "stored")
}

// That a key does not exist is in the tier, if asked for.
func TestTier_Absent(t *testing.T) {
	t.Parallel()
	for _, wanted := range []bool{true, false} {
		tier, rows := newTier(), newTable()
		cfg := func() *cache.Config[string, int] {
			c := tiered(tier)
			c.TierAbsent = wanted
			return c
		}
		a, b := newFake(), newFake()
		ca, cb := open(t, a, rows, cfg()), open(t, b, rows, cfg())
		_, err := ca.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrNotFound)
		if !wanted {
			get(t, ca, setRow(rows, "b"))
			stored(t, ca, 1)
			require.Equal(t, []string{"item:b"}, tier.plain())
			continue
		}

		stored(t, ca, 1)
		require.Equal(t, cache.DefaultNegativeTTL, tier.ttls[tier.key(t)])
		_, err = cb.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.EqualValues(t, 1, rows.loads.Load())
		require.EqualValues(t, 1, cb.Stats().TierHits)
		require.Equal(t, 1, cb.Stats().Absent)

		// A pod that does not want them takes none.
		plain := open(t, newFake(), rows, tiered(tier))
		_, err = plain.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.EqualValues(t, 2, rows.loads.Load())

		// It was added: what the tier says is from before that.
		rows.set("a", 1)
		b.key(300, "a")
		require.Equal(t, 1, get(t, cb, "a"))
		c := newFake()
		late := open(t, c, rows, cfg())
		c.key(300, "a")
		require.Equal(t, 1, get(t, late, "a"))
	}
	_, err := cache.New(newFake(), "item", newTable(), &cache.Config[string, int]{TierAbsent: true, NoNegative: true})
	require.ErrorIs(t, err, cache.ErrConfig)
}

func setRow(rows *table, key string) string {
	rows.set(key, 1)
	return key
}

func TestJoinKey(t *testing.T) {
	t.Parallel()
	for text, parts := range map[string][]string{
		"": {""}, ":": {"", ""}, "a:b": {"a", "b"}, `a\:b`: {"a:b"}, `a\\:b`: {`a\`, "b"}, `\\\:`: {`\:`}, "é:\x00": {"é", "\x00"},
	} {
		require.Equal(t, text, cache.JoinKey(parts...))
		got, err := cache.SplitKey(text)
		require.NoError(t, err)
		require.Equal(t, parts, got)
	}
	for _, bad := range []string{`\`, `a\`, `\a`, `a:\`, `a:\x`} {
		_, err := cache.SplitKey(bad)
		require.ErrorIs(t, err, cache.ErrKey, bad)
	}
}

func FuzzJoinKey(f *testing.F) {
	for _, s := range []string{"", ":", `\`, `a\:b`, `a\`, "a:b:c", `\\:\:`} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := cache.SplitKey(cache.JoinKey(a, b))
		require.NoError(t, err)
		require.Equal(t, []string{a, b}, got)
		if parts, err := cache.SplitKey(a); err == nil {
			require.Equal(t, a, cache.JoinKey(parts...))
		} else if !errors.Is(err, cache.ErrKey) {
			t.Fatal(err)
		}
	})
}

func TestCompressed(t *testing.T) {
	t.Parallel()
	codec := cache.Compressed(cache.JSON[string]())
	for _, v := range []string{"", "short", strings.Repeat("long and the same ", 1000), "\x00\x01"} {
		data, err := codec.Marshal(v)
		require.NoError(t, err)
		if len(v) > 1000 {
			require.Less(t, len(data), len(v)/10)
		}
		got, err := codec.Unmarshal(data)
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	long, err := codec.Marshal(strings.Repeat("x", 10_000))
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": long[:len(long)-3], "another kind": append([]byte{7}, long[1:]...), "no JSON": {0, '{'},
	} {
		_, err := codec.Unmarshal(bad)
		require.Error(t, err, name)
	}

	// What would become too large is an error before it takes the memory.
	bomb, err := cache.Compressed[[]byte](raw{}).Marshal(make([]byte, cache.MaxInflated))
	require.NoError(t, err)
	require.Less(t, len(bomb), 1<<20)
	_, err = cache.Compressed[[]byte](raw{}).Marshal(make([]byte, cache.MaxInflated+1))
	require.Error(t, err)
}

// raw is the codec of bytes.
type raw struct{}

func (raw) Marshal(v []byte) ([]byte, error)      { return v, nil }
func (raw) Unmarshal(data []byte) ([]byte, error) { return data, nil }

func FuzzCompressed(f *testing.F) {
	codec := cache.Compressed[[]byte](raw{})
	for _, v := range [][]byte{nil, {0}, {1, 2}, []byte(strings.Repeat("ab", 1000))} {
		data, err := codec.Marshal(v)
		require.NoError(f, err)
		f.Add(data)
		f.Add(append([]byte{1}, v...))
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := codec.Unmarshal(data)
		if err != nil {
			return
		}

		again, err := codec.Marshal(v)
		require.NoError(t, err)
		got, err := codec.Unmarshal(again)
		require.NoError(t, err)
		require.Equal(t, string(v), string(got))
	})
}
