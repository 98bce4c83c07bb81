package cache_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

func snapshot(t testing.TB, text string, standby bool) cache.Snapshot {
	t.Helper()
	s, err := cache.ParseSnapshot(text, standby)
	require.NoError(t, err)
	return s
}

// replica is a loader that reads from a standby as long as it is not told otherwise.
type replica struct {
	at              cache.Snapshot
	old, new        int
	standby, master int // loads
	stubborn        bool
	tags            []string
}

func (r *replica) Load(ctx context.Context, _ string) (cache.Loaded[int], error) {
	if cache.WantPrimary(ctx) && !r.stubborn {
		r.master++
		return cache.Loaded[int]{Value: r.new}, nil
	}
	r.standby++
	return cache.Loaded[int]{Value: r.old, Snapshot: r.at, Tags: r.tags}, nil
}

func TestReplica_StoredOnlyIfItSeesWhatWasInvalidated(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		snapshot string
		primary  bool
		deliver  bus.Delivery
		refused  bool
	}{
		"behind":                      {snapshot: "150:150:", deliver: key(150), refused: true},
		"has it":                      {snapshot: "151:151:", deliver: key(150)},
		"another key's":               {snapshot: "120:120:", deliver: key(150, "b")},
		"behind a tag":                {snapshot: "150:150:", deliver: key(150, cache.TagKey("x")), refused: true},
		"behind the topic":            {snapshot: "150:150:", deliver: bus.Delivery{Event: bus.Event{All: true}, XIDs: []uint64{150}}, refused: true},
		"standby: below xmax only":    {snapshot: "140:160:", deliver: key(150), refused: true},
		"primary: below xmax":         {snapshot: "140:160:", primary: true, deliver: key(150)},
		"primary, from before":        {snapshot: "90:99:", primary: true, deliver: key(50, "b"), refused: true},
		"from before the cache":       {snapshot: "99:99:", deliver: key(50, "b"), refused: true},
		"of an unknown transaction":   {snapshot: "90:100:", deliver: bus.Delivery{Event: bus.Event{Keys: []string{"a"}}}, refused: true},
		"after the unknown one":       {snapshot: "100:100:", deliver: bus.Delivery{Event: bus.Event{Keys: []string{"a"}}}},
		"sees one of two":             {snapshot: "151:151:", deliver: bus.Delivery{Event: bus.Event{Keys: []string{"a"}}, XIDs: []uint64{150, 160}}, refused: true},
		"more transactions than kept": {snapshot: "110:200:", deliver: bus.Delivery{Event: bus.Event{Keys: []string{"a"}}, XIDs: many(150, 190)}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFake()
			r := &replica{at: snapshot(t, test.snapshot, !test.primary), old: 1, new: 2, tags: []string{"x"}}
			c := open(t, b, r, config())
			b.deliver(test.deliver)

			want := 1
			if test.refused {
				want = 2
			}

			require.Equal(t, want, get(t, c, "a"))
			require.Equal(t, want, get(t, c, "a"))
			require.Equal(t, want-1, r.master)
			require.Equal(t, 1, r.standby)
		})
	}
}

func key(xid uint64, keys ...string) bus.Delivery {
	if keys == nil {
		keys = []string{"a"}
	}
	return bus.Delivery{Event: bus.Event{Keys: keys}, XIDs: []uint64{xid}}
}

func many(from, to uint64) (xids []uint64) {
	for ; from < to; from++ {
		xids = append(xids, from)
	}
	return xids
}

// A loader that goes on reading from a standby that is behind gets nothing to the reader.
func TestReplica_ValueThatIsKnownToBeOldIsAnError(t *testing.T) {
	t.Parallel()
	b := newFake()
	r := &replica{at: snapshot(t, "150:150:", true), old: 1, stubborn: true}
	c := open(t, b, r, config())
	b.key(150, "a")
	_, err := c.Get(t.Context(), "a")
	require.ErrorIs(t, err, cache.ErrBehind)
	require.Equal(t, 2, r.standby, "it was told once to go to the primary")

	b.set(func(f *fake) { f.age = -1 })
	require.Equal(t, 1, get(t, c, "a"), "while the bus is not fresh the cache vouches for nothing")
	_, err = c.GetFresh(t.Context(), "a")
	require.ErrorIs(t, err, cache.ErrBehind)
	_, ok := peek(c, "a")
	require.False(t, ok)
}

// The primary's own snapshot, taken while the load ran, and an event that came after it: who asked before may have the value.
func TestReplica_PrimaryOvertakenByAnEvent(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]string{"key": "a", "tag": cache.TagKey("x")} {
		b := newFake()
		c := open(t, b, cache.LoaderFunc[string, int](func(context.Context, string) (cache.Loaded[int], error) {
			b.key(150, wire)
			return cache.Loaded[int]{Value: 1, Tags: []string{"x"}, Snapshot: snapshot(t, "140:160:150", false)}, nil
		}), config())
		require.Equal(t, 1, get(t, c, "a"), name)
		_, ok := peek(c, "a")
		require.False(t, ok, name)
	}
}

func TestReplica_GetFreshWantsThePrimary(t *testing.T) {
	t.Parallel()
	r := &replica{at: snapshot(t, "500:500:", true), old: 1, new: 2}
	c := open(t, newFake(), r, config())
	v, err := c.GetFresh(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 2, v)
	require.Zero(t, r.standby)
}

func TestReplica_NothingIsKnownBeforeTheBusHasProvenItself(t *testing.T) {
	t.Parallel()
	b := newFake()
	b.proven = b.proven.AddDate(-1, 0, 0)
	r := &replica{at: snapshot(t, "500:500:", true), old: 1, new: 2}
	c := open(t, b, r, config())
	require.Equal(t, 2, get(t, c, "a"))
	require.Equal(t, 1, r.standby)

	b.set(func(f *fake) { f.proven = f.proven.AddDate(1, 0, 0) })
	b.key(400, "a")
	require.Equal(t, 1, get(t, c, "a"))

	b.set(func(f *fake) { f.at = position.Snapshot{Xmin: 600, Xmax: 600} })
	b.reset(bus.ReasonCatchUp)
	require.Equal(t, 2, get(t, c, "a"), "whatever came before the reset, only the position tells")
}

// What is forgotten raises a floor, or lets a position that sees it stand for it.
func TestReplica_ForgottenInvalidations(t *testing.T) {
	t.Parallel()
	for name, covered := range map[string]bool{"position behind": false, "position past": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFake()
			cfg := config()
			cfg.InvalidationHistory = 64
			r := &replica{at: snapshot(t, "199:199:", true), old: 1, new: 2}
			c := open(t, b, r, cfg)
			b.key(200, "a")

			if covered {
				b.set(func(f *fake) { f.at = position.Snapshot{Xmin: 190, Xmax: 1000, Xip: []uint64{190}} })
			}

			for i := range uint64(200) {
				b.key(201+i, "other"+string(rune('a'+i)))
			}

			require.Equal(t, 2, get(t, c, "a"), "behind what was forgotten")
			b.key(500, "a")
			r.at = snapshot(t, "600:600:", true)
			require.Equal(t, map[bool]int{false: 1, true: 2}[covered], get(t, c, "a"))
			b.key(501, "a")
			r.at = snapshot(t, "1001:1001:", true)
			require.Equal(t, 1, get(t, c, "a"))
			require.LessOrEqual(t, c.Stats().Remembered, 64)
		})
	}
}

func TestParseSnapshot(t *testing.T) {
	t.Parallel()
	s := snapshot(t, "10:20:11,15", true)
	require.Equal(t, "10:20:11,15", s.String())
	require.True(t, s.Standby())
	require.False(t, s.IsZero())
	require.True(t, cache.Snapshot{}.IsZero())
	for _, text := range []string{"", "1", "x:y:", "0:0:", "20:10:", "10:20:20"} {
		_, err := cache.ParseSnapshot(text, false)
		require.Error(t, err, text)
	}
}
