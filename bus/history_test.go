package bus_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// historian is a subscriber of our own that asks for the past.
type historian struct {
	limit int

	mu    sync.Mutex
	told  int
	past  []hook.Past
	from  position.Snapshot
	floor uint64
}

func (*historian) Synchronous(hook.Token)        {}
func (*historian) Invalidate(bus.Delivery)       {}
func (*historian) Reset(bus.Reason)              {}
func (h *historian) HistoryLimit(hook.Token) int { return h.limit }

func (h *historian) History(_ hook.Token, past []hook.Past, from position.Snapshot, floor uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told++
	h.past, h.from, h.floor = past, from, floor
}

func (h *historian) keys() (keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.past {
		keys = append(keys, e.Keys...)
		if e.All {
			keys = append(keys, "*")
		}
	}
	slices.Sort(keys)
	return keys
}

func (h *historian) times() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

var _ hook.Historian = (*historian)(nil)

// A historian learns what the log holds from before it: at the start, when it comes later, and after a reset.
func TestHistory(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	for i := range 5 {
		_, err := a.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{fmt.Sprint(i)}}, bus.Event{Topic: "other", All: true})
		require.NoError(t, err)
	}

	b := prepare(t, pool, quick("b"))
	early, few, late := &historian{limit: 100}, &historian{limit: 2}, &historian{limit: 100}
	defer b.Subscribe("item", early)()
	defer b.Subscribe("item", few)()
	b.run(t)
	b.waitReady(t)
	eventually(t, func() bool { return early.times() > 0 && few.times() > 0 }, "told at the start")
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, early.keys())
	require.Zero(t, early.from.Xmax, "nothing was ever pruned")
	require.Zero(t, early.floor)
	require.Equal(t, []string{"3", "4"}, few.keys(), "the newest")
	require.Equal(t, few.past[1].XID, few.floor, "what came before is not known")

	defer b.Subscribe("other", late)()
	eventually(t, func() bool { return late.times() > 0 }, "told after it has subscribed")
	require.Equal(t, []string{"*", "*", "*", "*", "*"}, late.keys())

	times := early.times()
	_, err := pool.Exec(t.Context(), "TRUNCATE pgcoherence.event")
	require.NoError(t, err)
	eventually(t, func() bool { return early.times() > times }, "told after a reset")
	require.Empty(t, early.keys())
}

// What was pruned is said to be missing.
func TestHistoryAfterPruning(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	cfg := quick("a")
	cfg.Retention = cfg.StaleAfter
	a := start(t, pool, cfg)
	_, err := a.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{"old"}})
	require.NoError(t, err)
	eventually(t, func() bool { return a.Stats().Pruned > 0 }, "pruned")
	b, h := prepare(t, pool, quick("b")), &historian{limit: 100}
	defer b.Subscribe("item", h)()

	b.run(t)
	eventually(t, func() bool { return h.times() > 0 }, "told")
	require.NotContains(t, h.keys(), "old")
	require.NotZero(t, h.from.Xmax)
}
