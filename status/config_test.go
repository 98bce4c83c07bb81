package status_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	b := bus.NewLocal()
	users := newCache(t, b, "users")
	fine := func(context.Context) error { return nil }
	for field, cfg := range map[string]*status.Config{
		"Token:":         {Token: "short"},
		"Token: b":       {Token: " correct horse battery staple"},
		"ActionToken":    {ActionToken: "short"},
		"ActionToken: i": {Token: "correct horse battery staple", ActionToken: "correct horse battery staple"},
		"Prefix":         {Prefix: "status"},
		"Prefix: ":       {Prefix: "/status/"},
		"Interval":       {Interval: time.Millisecond},
		"LostAfter":      {LostAfter: -1},
		"KeepLost":       {KeepLost: -1},
		"MaxWatchers":    {MaxWatchers: -1},
		"Caches":         {Caches: []status.Cache{nil}},
		"Caches: two":    {Caches: []status.Cache{users, users}},
		"Tiers":          {Tiers: map[string]status.Tier{"orders": &pingTier{}}},
		"Sessions":       {Sessions: []status.Sessions{nil}},
		"Lockers":        {Lockers: []status.Locker{nil}},
		"Checks: name":   {Checks: []status.Check{{Name: "Not good", Func: fine}}},
		"Checks":         {Checks: []status.Check{{Name: "", Func: fine}}},
		"Checks: mail":   {Checks: []status.Check{{Name: "mail", Func: fine}, {Name: "mail", Func: fine}}},
		"Checks: bus":    {Checks: []status.Check{{Name: "bus", Func: fine}}},
	} {
		_, err := status.New(b, cfg)
		require.ErrorIs(t, err, status.ErrConfig, field)
		require.ErrorContains(t, err, field)
	}

	_, err := status.New(nil, nil)
	require.ErrorIs(t, err, status.ErrConfig)
	_, err = status.New(b, nil)
	require.NoError(t, err)
}

// TestRegistryGiven: what is there already is not registered twice, and the rest is added.
func TestRegistryGiven(t *testing.T) {
	t.Parallel()
	b := bus.NewLocal()
	users := newCache(t, b, "users")
	registry := prometheus.NewRegistry()
	registry.MustRegister(b)
	h := newHandler(t, b, &status.Config{Registry: registry, Caches: []status.Cache{users}, Authorize: status.Unprotected})
	_, body, _ := get(t, h, "/metrics")
	require.Contains(t, body, "pgcoherence_bus_published_total 0")
	require.Contains(t, body, `pgcoherence_cache_entries{cache="users"} 0`)
	require.Contains(t, body, "pgcoherence_status_watchers 0")

	clash := prometheus.NewRegistry()
	clash.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgcoherence_bus_pods", Help: "Something else."}))
	_, err := status.New(b, &status.Config{Registry: clash})
	require.Error(t, err)
}
