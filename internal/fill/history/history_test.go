package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// What was delivered after a load had begun does not count as seen by it, although it may not be detached yet.
func TestExtras(t *testing.T) {
	t.Parallel()
	at := position.Snapshot{Xmin: 3, Xmax: 3}
	event := history.Event{XIDs: []uint64{5}, At: time.Now()}
	for name, note := range map[string]func(*history.History){
		"its key": func(h *history.History) { h.Note("k", event) },
		"its tag": func(h *history.History) { h.Note("~#t", event) },
		"all":     func(h *history.History) { h.NoteAll(event) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := history.New(nil, 10)
			begun := h.Mark()
			note(h)

			_, ok := h.Extras("k", []string{"~#t"}, at, begun)
			require.False(t, ok)
			_, ok = h.Extras("other", nil, at, begun)
			require.Equal(t, name != "all", ok, "nothing was delivered for it")

			xids, ok := h.Extras("k", []string{"~#t"}, at, h.Mark())
			require.True(t, ok)
			require.Equal(t, []uint64{5}, xids)
		})
	}
}
