package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// TestExtras: what was told after a load had begun does not count as seen by it, although it may not be detached yet.
func TestExtras(t *testing.T) {
	t.Parallel()
	at := position.Snapshot{Xmin: 3, Xmax: 3}
	for name, note := range map[string]func(*history){
		"its key": func(h *history) { h.note("k", event{xids: []uint64{5}, at: time.Now()}) },
		"its tag": func(h *history) { h.note(TagKey("t"), event{xids: []uint64{5}, at: time.Now()}) },
		"all":     func(h *history) { h.noteAll(event{xids: []uint64{5}, at: time.Now()}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(nil, 10)
			begun := h.told()
			note(h)
			_, ok := h.extras("k", []string{"t"}, at, begun)
			require.False(t, ok)
			_, ok = h.extras("other", nil, at, begun)
			require.Equal(t, name != "all", ok, "nothing was told of it")
			xids, ok := h.extras("k", []string{"t"}, at, h.told())
			require.True(t, ok)
			require.Equal(t, []uint64{5}, xids)
		})
	}
}
