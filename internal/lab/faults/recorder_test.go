package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

func TestRecorder(t *testing.T) {
	t.Parallel()
	r := newRecorder(&trouble{})
	tell := func(d bus.Delivery) { r.Invalidate(d) }
	event := func(keys ...string) bus.Delivery { return bus.Delivery{Event: bus.Event{Topic: topic, Keys: keys}} }

	tell(event(makeKeys(0, 7)...))
	tell(event("nonsense", "", "k99", "k-1", "kx", "ex")) // nobody's
	uncertain := event(makeKeys(0, 8)...)
	uncertain.Uncertain = true // it may not have been committed
	tell(uncertain)
	missing, cleared := r.missing([]int64{7, 8})
	require.Equal(t, []int64{8}, missing)
	require.True(t, cleared.IsZero())

	r.Reset(bus.ReasonEpoch)
	_, cleared = r.missing(nil)
	require.False(t, cleared.IsZero())
	tell(bus.Delivery{Event: bus.Event{Topic: topic, All: true}})
	_, again := r.missing(nil)
	require.False(t, again.Before(cleared))
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	r := &trouble{}
	r.begin(Trouble{Panics: 1})
	require.Panics(t, r.suffer)
	require.NotPanics(t, r.suffer)
	r.begin(Trouble{Block: 20 * time.Millisecond})
	begun := time.Now()
	r.suffer()
	require.GreaterOrEqual(t, time.Since(begun), 10*time.Millisecond)
	r.begin(Trouble{Delay: 5 * time.Millisecond})
	begun = time.Now()
	r.suffer()
	require.GreaterOrEqual(t, time.Since(begun), 5*time.Millisecond)
}

// TestQueued: what the bus calls directly must not be recognised any more.
func TestQueued(t *testing.T) {
	t.Parallel()
	var s bus.Subscriber = queued{newRecorder(&trouble{}), &trouble{}}
	_, direct := s.(hook.Synchronous)
	require.False(t, direct)
}

func TestWriteKeys(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"k14", "e9"}, Write{Path: "raw", Key: 14, Version: 9}.keys())
	require.Equal(t, []string{cache.TagKey("g2"), "e9"}, Write{Path: "rawtag", Key: 14, Version: 9}.keys())
}
