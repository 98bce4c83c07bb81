package bus_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLogSize: one pod measures how much the log holds; nobody else claims to know.
func TestLogSize(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	cfg := quick("a")
	cfg.Retention = time.Minute // measured every second
	a := prepare(t, pool, quick("b"))
	require.Negative(t, a.Stats().LogRows)
	require.Negative(t, a.Stats().LogOldest)
	require.True(t, math.IsNaN(gatherMetrics(t, a)["pgcoherence_bus_log_rows"].Metric[0].GetGauge().GetValue()))
	require.True(t, math.IsNaN(gatherMetrics(t, a)["pgcoherence_bus_log_oldest_seconds"].Metric[0].GetGauge().GetValue()))

	b := start(t, pool, cfg)
	_, err := pool.Exec(t.Context(), "INSERT INTO pgcoherence.event (topic, keys, at) VALUES ('item', '{1}', '-infinity'), ('item', '{2}', now())")
	require.NoError(t, err)
	eventually(t, func() bool { return b.Stats().LogRows >= 2 }, "the server's statistics come late, and they come")
	require.Greater(t, b.Stats().LogOldest, 10*365*24*time.Hour, "whatever a writer has put there")
	_, err = pool.Exec(t.Context(), "UPDATE pgcoherence.event SET at = now() - interval '1 hour'")
	require.NoError(t, err)
	eventually(t, func() bool { return b.Stats().LogOldest < 2*time.Hour }, "measured again and again")
	require.Greater(t, b.Stats().LogOldest, time.Hour-time.Minute)
	require.Positive(t, gatherMetrics(t, b)["pgcoherence_bus_log_oldest_seconds"].Metric[0].GetGauge().GetValue())
}
