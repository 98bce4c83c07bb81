package cache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	rows.set("a", 1)
	cfg := tiered(newTier())
	cfg.Audit = &cache.AuditConfig[int]{}
	c := open(t, b, rows, cfg)
	get(t, c, "a")
	get(t, c, "a")
	_, err := c.Get(t.Context(), "b")
	require.ErrorIs(t, err, cache.ErrNotFound)
	b.deliver(bus.Delivery{Event: bus.Event{Keys: []string{"a"}}, XIDs: []uint64{200}, CommittedAt: time.Now().Add(-time.Second)})
	b.reset(bus.ReasonEpoch)

	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP pgcoherence_cache_loads_total Calls of the loader by result.
# TYPE pgcoherence_cache_loads_total counter
pgcoherence_cache_loads_total{cache="item",result="canceled"} 0
pgcoherence_cache_loads_total{cache="item",result="error"} 0
pgcoherence_cache_loads_total{cache="item",result="notfound"} 1
pgcoherence_cache_loads_total{cache="item",result="ok"} 1
pgcoherence_cache_loads_total{cache="item",result="panic"} 0
pgcoherence_cache_loads_total{cache="item",result="timeout"} 0
`), "pgcoherence_cache_loads_total"))
	values := map[string]float64{}
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.True(t, strings.HasPrefix(f.GetName(), "pgcoherence_cache_"), f.GetName())
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "pgcoherence_cache_")
			for _, l := range m.GetLabel() {
				if l.GetName() != "cache" {
					name += "," + l.GetValue()
				}
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"requests_total,hit": 1, "requests_total,miss": 2, "resets_total,epoch": 1, "invalidation_lag_seconds": 1,
		"invalidations_total,hit,key,remote": 1, "load_duration_seconds": 2, "entries": 0, "fresh": 1, "tier_requests_total,get,miss": 2,
		"audit_checks_total,compared": 0,
	} {
		got, ok := values[name]
		require.True(t, ok, name)
		require.InDelta(t, want, got, 0, name)
	}
}
