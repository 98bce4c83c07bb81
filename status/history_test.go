package status_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

// TestHistoryBounded: an hour and a day are kept, and no more, however long the pod runs.
func TestHistoryBounded(t *testing.T) {
	t.Parallel()
	for readings, want := range map[int][2]int{0: {0, 0}, 11: {1, 0}, 601: {60, 5}, 30 * 3600: {360, 720}} {
		hour, day := status.History(bus.NewLocal(), readings)
		require.Len(t, hour, want[0], readings)
		require.Len(t, day, want[1], readings)
		for _, line := range [][]float64{hour, day} {
			for _, rate := range line {
				require.InDelta(t, 5, rate, 0.01)
			}
		}
	}
}

// TestHistoryRuns: the past is there for whoever comes later, though nobody has watched; without asking anybody.
func TestHistoryRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus().live()
		h := newHandler(t, b, &status.Config{Token: token})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		time.Sleep(time.Hour)
		code, body, _ := get(t, h, "/history", bearer(token)...)
		require.Equal(t, http.StatusOK, code)
		var past struct{ Hour, Day []any }
		require.NoError(t, json.Unmarshal([]byte(body), &past))
		require.InDelta(t, 360, len(past.Hour), 35)
		require.InDelta(t, 30, len(past.Day), 3)
		require.Zero(t, b.asked, "the database is left alone")
		code, _, _ = get(t, h, "/history")
		require.Equal(t, http.StatusUnauthorized, code)
		cancel()
		require.NoError(t, <-ended)
	})
}
