package bus_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestThreePods(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b, c := start(t, pool, quick("a")), start(t, pool, quick("b")), start(t, pool, quick("c"))

	tx, err := a.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "UPDATE item SET value = value + 1 WHERE id = $1", "1")
	require.NoError(t, err)
	tx.Invalidate("item", "1")
	require.NoError(t, tx.Commit(t.Context()))
	require.False(t, tx.Receipt().IsZero())

	for _, p := range []*pod{a, b, c} {
		eventually(t, func() bool { return p.has("1") }, "event arrives")
		eventually(t, func() bool { return p.Fresh() && p.State() == bus.Live }, "live; on a busy machine a beat may be late")
	}
	eventually(t, func() bool {
		return a.Stats().Announced+a.Stats().Swept+b.Stats().Swept+c.Stats().Swept > 0
	}, "announced by its own pod, unless the sweep was faster")

	// A writer that knows nothing of us: found by the sweep.
	_, err = pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', '2', '3')")
	require.NoError(t, err)
	for _, p := range []*pod{a, b, c} {
		eventually(t, func() bool { return p.has("2") && p.has("3") }, "swept event arrives")
		require.Equal(t, []bus.Reason{bus.ReasonStart}, p.reasons())
	}
	pods, err := a.Pods(t.Context())
	require.NoError(t, err)
	require.Len(t, pods, 3)
}
