package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// scripted is a database with one account, whose reads call during between reading and answering.
type scripted struct {
	row    account
	during func()
	reads  int
	err    error
}

func (s *scripted) load(context.Context, string) (account, error) {
	s.reads++
	a := s.row
	if s.during != nil {
		s.during()
	}
	return a, s.err
}

func TestCache(t *testing.T) {
	t.Parallel()
	alice := bus.Delivery{Event: bus.Event{Topic: topic, Keys: []string{"alice"}}}
	for name, tc := range map[string]struct {
		during func(c *cache)
		stored bool
	}{
		"nothing comes between":                {func(*cache) {}, true},
		"another account is invalidated":       {func(c *cache) { c.drop("bob") }, true},
		"its invalidation comes between":       {func(c *cache) { c.Invalidate(alice) }, false},
		"that of the whole topic does":         {func(c *cache) { c.Invalidate(bus.Delivery{Event: bus.Event{All: true}}) }, false},
		"a reset does":                         {func(c *cache) { c.Reset(bus.ReasonEpoch) }, false},
		"an invalidation that says nothing is": {func(c *cache) { c.Invalidate(bus.Delivery{}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := &scripted{row: account{ID: "alice", Version: 1}}
			c := newCache(func() bool { return true }, db.load)
			db.during = func() {
				db.row.Version = 2 // a writer, after the load has read
				tc.during(c)
			}
			got, err := c.get(t.Context(), "alice")
			require.NoError(t, err)
			require.Equal(t, int64(1), got.Version, "who asked before the write may get what was there before it")
			require.False(t, got.cached)

			got, err = c.get(t.Context(), "alice")
			require.NoError(t, err)
			require.Equal(t, tc.stored, got.cached)
			if !tc.stored {
				require.Equal(t, int64(2), got.Version)
			}
			require.Empty(t, c.loads)
		})
	}
}

func TestCache_ServesNothingUnlessFresh(t *testing.T) {
	t.Parallel()
	fresh := true
	db := &scripted{row: account{ID: "alice", Version: 1}}
	c := newCache(func() bool { return fresh }, db.load)
	for range 3 {
		_, err := c.get(t.Context(), "alice")
		require.NoError(t, err)
	}
	require.Equal(t, 1, db.reads)

	fresh = false
	got, err := c.get(t.Context(), "alice")
	require.NoError(t, err)
	require.False(t, got.cached)
	require.False(t, got.fresh)
	require.Equal(t, 2, db.reads)

	db.err = errors.New("the database is away")
	_, err = c.get(t.Context(), "alice")
	require.ErrorIs(t, err, db.err)
	fresh = true
	got, err = c.get(t.Context(), "alice")
	require.NoError(t, err)
	require.True(t, got.cached, "what was held is good again once it is proven to be")
}

func TestCache_IsBounded(t *testing.T) {
	t.Parallel()
	db := &scripted{}
	c := newCache(func() bool { return true }, db.load)
	for i := range maxEntries + 10 {
		_, err := c.get(t.Context(), string(rune('a'+i)))
		require.NoError(t, err)
	}
	require.Len(t, c.entries, maxEntries)
}
