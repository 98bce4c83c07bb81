package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestCache_LoadsOnceAndDropsWhatIsInvalidated(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1)
	c := open(t, bus.NewLocal(), rows, config())

	require.Equal(t, 1, get(t, c, "a"))
	require.Equal(t, 1, get(t, c, "a"))
	require.EqualValues(t, 1, rows.loads.Load())

	rows.set("a", 2)
	require.Equal(t, 1, get(t, c, "a"), "nothing was said yet")
	_, err := c.Invalidate(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 2, get(t, c, "a"))
}
