package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestCacheObeysTheRules(t *testing.T) {
	t.Parallel()
	fresh := true
	c := newCache(2, func() bool { return fresh })
	invalidate := func(keys ...string) {
		c.Invalidate(bus.Delivery{Event: bus.Event{Topic: topic, Keys: keys}})
	}
	requireServes := func(want ...int64) {
		t.Helper()
		versions, _, _ := c.read()
		require.Equal(t, want, versions)
	}

	requireServes(absent, absent)
	c.finish(c.begin(), map[int]int64{0: 1, 1: 1})
	requireServes(1, 1)

	fresh = false
	requireServes(absent, absent)
	fresh = true
	requireServes(1, 1)

	invalidate(makeKeys(0, 7)...)
	requireServes(absent, 1)
	fill := c.begin()
	invalidate("k0")
	c.finish(fill, map[int]int64{0: 1})
	requireServes(absent, 1) // detached by the invalidation
	fill = c.begin()
	c.Reset(bus.ReasonEpoch)
	c.finish(fill, map[int]int64{0: 2})
	requireServes(absent, absent) // detached by the reset

	missing, cleared := c.missing([]int64{7, 8})
	require.Equal(t, []int64{8}, missing)
	require.False(t, cleared.IsZero())
	invalidate("nonsense", "", "k99", "k-1", "kx") // is nobody's
}
