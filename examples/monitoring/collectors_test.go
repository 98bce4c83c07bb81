package monitoring_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/gorillastore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
	"github.com/pgcoherence/pgcoherence/status"
)

// TestMain lets a goroutine be that scs.New starts for the store that ours replaces: stopping it is a data race of its own.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m),
		goleak.IgnoreTopFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

var quiet = slog.New(slog.DiscardHandler)

var template = &pgtest.Template{Name: "monitoring", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet})
}}

// nothing is a tier that holds nothing, so that the metrics of tiers are there.
type nothing struct{ cache.Tier }

// application has all that this module exports metrics of, in one registry.
func application(t *testing.T) *prometheus.Registry {
	t.Helper()
	pool := pgtest.New(t, template).Pool(t)
	b, err := bus.NewPostgres(pool, &bus.Config{Logger: quiet})
	require.NoError(t, err)
	load := cache.Func(func(_ context.Context, key string) (string, error) { return key, nil })
	users, err := cache.New(b, "users", load, &cache.Config[string, string]{Logger: quiet, Tier: nothing{}, Audit: &cache.AuditConfig[string]{}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, users.Close()) })
	locker, err := lock.New(b, pool, &lock.Config{Logger: quiet})
	require.NoError(t, err)

	own, err := sessionstore.New[map[string]string](b, pool, &sessionstore.Config[map[string]string]{Logger: quiet, Name: "session"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	require.NoError(t, own.Sweep(t.Context())) // only then is it known how many sessions are active
	ofSCS, err := scsstore.New(b, pool, scs.New(), &scsstore.Config{Sessions: sessionstore.Config[scsstore.Data]{Logger: quiet, Name: "scs"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ofSCS.Sessions().Close()) })
	ofGorilla, err := gorillastore.New(b, pool, &gorillastore.Config{Sessions: sessionstore.Config[gorillastore.Data]{Logger: quiet, Name: "gorilla"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ofGorilla.Sessions().Close()) })

	registry := prometheus.NewPedanticRegistry()
	_, err = status.New(b, &status.Config{
		Logger: quiet, Registry: registry, Caches: []status.Cache{users, audited(t, load)}, Lockers: []status.Locker{locker},
		Sessions: []status.Sessions{own, ofSCS.Sessions(), ofGorilla.Sessions()}, Collectors: []prometheus.Collector{ofSCS, ofGorilla},
	})
	require.NoError(t, err)
	return registry
}

// audited is a cache whose auditor has compared something: only then it says how much of it was right.
func audited(t *testing.T, load cache.Loader[string, string]) *cache.Cache[string, string] {
	t.Helper()
	c, err := cache.New(bus.NewLocal(), "audited", load, &cache.Config[string, string]{Logger: quiet, Audit: &cache.AuditConfig[string]{Rate: 1000}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.Get(t.Context(), "a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.RunAudit(ctx) })
	defer wg.Wait()
	defer cancel()
	require.Eventually(t, func() bool { return c.Stats().Audit.Checks > 0 }, 30*time.Second, time.Millisecond)
	return c
}

// exported are all metrics of this module by name, gathered from the collectors that an application has: whatever this
// directory speaks of has to be among them.
func exported(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := application(t).Gather()
	require.NoError(t, err)
	found := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		if f.GetName() != "promhttp_metric_handler_errors_total" {
			found[f.GetName()] = f
		}
	}
	return found
}
