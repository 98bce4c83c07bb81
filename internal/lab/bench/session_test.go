package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestSessionCommand runs the measurement with next to no data: its figures mean nothing, but its checks all run.
func TestSessionCommand(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	r, err := measureSession(t.Context(), sessionPlan{
		Rounds: 2, Reads: 1000, Rotation: 50, Mix: 100 * time.Millisecond, Clients: 8, Revokes: 5,
		Rows: 3000, Cold: 200, Lists: 5, Expired: 1000, SweepRows: 5000,
	})
	require.NoError(t, err)

	names := map[string]bool{}
	for _, one := range r.Results {
		names[one.Name] = true
	}

	for _, want := range []string{
		"session.get_ns", "session.get_p99_ns", "session.ratio.scsstore", "session.ratio.pgxstore", "session.ratio.map",
		"session.statements_per_request", "session.merge_kept.12", "session.read_your_writes_misses", "session.revoke_p50_ms", "session.revoke_p99_ms", "session.confirm_p50_ms",
		"session.cold_ratio", "session.list_ms", "session.sweep_wait_ms", "session.cut_off_served_ms", "session.cut_off_confirm_ms",
		"session.sweep_core_percent.5k",
	} {
		require.True(t, names[want], want)
	}
}
