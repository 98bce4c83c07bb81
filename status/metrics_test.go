package status_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/status"
)

const (
	crowdCaches = 20
	crowdPods   = 50
)

// crowd is a handler with 20 caches before 50 pods.
func crowd(t testing.TB) (*fakeBus, *status.Handler, *prometheus.Registry) {
	t.Helper()
	b := newFakeBus().live()
	for i := range crowdPods {
		b.pods = append(b.pods, bus.Pod{ID: fmt.Sprint(i), Name: fmt.Sprint("web-", i), State: "live", Synced: true})
	}
	registry := prometheus.NewPedanticRegistry()
	cfg := &status.Config{Token: token, Registry: registry}
	for i := range crowdCaches {
		cfg.Caches = append(cfg.Caches, newCache(t, b, fmt.Sprint("topic", i)))
	}
	return b, newHandler(t, b, cfg), registry
}

func TestScrape(t *testing.T) {
	t.Parallel()
	b, h, registry := crowd(t)
	code, body, _ := get(t, h, "/metrics", bearer(token)...)
	require.Equal(t, http.StatusOK, code)
	for _, line := range []string{
		`pgcoherence_cache_entries{cache="topic19"} 0`, "pgcoherence_bus_pods 1", `pgcoherence_bus_state{state="live"} 1`, "pgcoherence_status_watchers 0",
	} {
		require.Contains(t, body, line)
	}
	require.Zero(t, b.asked, "a scrape asks the database nothing")
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// TestScrapeTakesNoConnection: on the real bus, with a pool that leads nowhere.
func TestScrapeTakesNoConnection(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	defer pool.Close()
	b, err := bus.NewPostgres(pool, &bus.Config{Logger: quiet})
	require.NoError(t, err)
	h := newHandler(t, b, &status.Config{Token: token, Caches: []status.Cache{newCache(t, b, "users")}})
	code, _, _ := get(t, h, "/metrics", bearer(token)...)
	require.Equal(t, http.StatusOK, code)
	require.Zero(t, pool.Stat().AcquireCount())
}

// outer is a collector that collects for another as well, as a store for a framework does.
type outer struct {
	prometheus.Gauge
	inner prometheus.Collector
}

func (o outer) Describe(ch chan<- *prometheus.Desc) { o.Gauge.Describe(ch); o.inner.Describe(ch) }
func (o outer) Collect(ch chan<- prometheus.Metric) { o.Gauge.Collect(ch); o.inner.Collect(ch) }

// TestRegister: what is there already, or collected by another, is not registered twice; what contradicts is refused.
func TestRegister(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	users := newCache(t, b, "users")
	around := outer{prometheus.NewGauge(prometheus.GaugeOpts{Name: "around", Help: "A collector around another."}), users}
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(b))
	cfg := &status.Config{Token: token, Registry: registry, Caches: []status.Cache{users}, Collectors: []prometheus.Collector{around}}
	newHandler(t, b, cfg)
	second := newHandler(t, b, cfg)
	_, body, _ := get(t, second, "/metrics", bearer(token)...)
	require.Equal(t, 1, strings.Count(body, `pgcoherence_cache_entries{cache="users"}`))
	require.Contains(t, body, "around 0")

	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "around", Help: "Something else."})
	_, err := status.New(b, &status.Config{Collectors: []prometheus.Collector{around, other}, Caches: cfg.Caches, Logger: quiet})
	require.ErrorContains(t, err, "status: register")
}

// TestRegisterTwice: figures that would be missing without a word are an error that names both.
func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	one, err := lock.New(b, pgtest.New(t, template).Pool(t), &lock.Config{Logger: quiet})
	require.NoError(t, err)
	two, err := lock.New(b, pgtest.New(t, template).Pool(t), &lock.Config{Logger: quiet})
	require.NoError(t, err)
	_, err = status.New(b, &status.Config{Lockers: []status.Locker{one, two}, Logger: quiet})
	require.ErrorIs(t, err, status.ErrConfig)
	require.ErrorContains(t, err, "Lockers[1] exports the same metrics as Lockers[0]")

	// With a name of its own both are there, side by side.
	named, err := lock.New(b, pgtest.New(t, template).Pool(t), &lock.Config{Name: "reports", Logger: quiet})
	require.NoError(t, err)
	h := newHandler(t, b, &status.Config{Token: token, Lockers: []status.Locker{one, named}})
	_, body, _ := get(t, h, "/metrics", bearer(token)...)
	require.Contains(t, body, `pgcoherence_lock_held{locker="lock"} 0`)
	require.Contains(t, body, `pgcoherence_lock_held{locker="reports"} 0`)

	// So do collectors that another Handler has registered in the same Registry.
	registry := prometheus.NewRegistry()
	newHandler(t, b, &status.Config{Registry: registry, Lockers: []status.Locker{one}})
	newHandler(t, b, &status.Config{Registry: registry, Lockers: []status.Locker{one, named}})
	for name, cfg := range map[string]*status.Config{
		"a Locker": {Registry: registry, Lockers: []status.Locker{two}, Logger: quiet}, "Collectors[0]": {Registry: registry, Collectors: []prometheus.Collector{two}, Logger: quiet},
	} {
		_, err = status.New(b, cfg)
		require.ErrorIs(t, err, status.ErrConfig, name)
		require.ErrorContains(t, err, "use a Registry for each Handler", name)
	}
	_, err = status.New(newFakeBus().live(), &status.Config{Registry: registry, Logger: quiet})
	require.ErrorContains(t, err, "another collector with the metrics of the bus")
}

// queryCount counts the queries of a pool.
type queryCount struct{ n atomic.Int64 }

func (c *queryCount) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *queryCount) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// countedCrowd is 20 caches on a real bus, with 50 more pods in its database, and a count of what is asked through the pool.
func countedCrowd(t *testing.T, cfg *status.Config) (*status.Handler, *queryCount) {
	t.Helper()
	db := pgtest.New(t, template)
	setup := db.Pool(t)
	_, err := setup.Exec(t.Context(), "UPDATE pgcoherence.setting SET pod_lease = '1 hour'") // nobody takes the rows away
	require.NoError(t, err)
	_, err = setup.Exec(t.Context(), `INSERT INTO pgcoherence.pod (id, name, info)
		SELECT gen_random_uuid(), 'web-' || i, '{"state": "live"}' FROM generate_series(1, $1) AS i`, crowdPods)
	require.NoError(t, err)
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	count := &queryCount{}
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	direct := func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.DSN) } // the bus' own are not counted
	b := startBus(t, pool, &bus.Config{Name: "a", Connect: direct})
	for i := range crowdCaches {
		cfg.Caches = append(cfg.Caches, newCache(t, b, fmt.Sprint("topic", i)))
	}

	return newHandler(t, b, cfg), count
}

// TestQueries: a report of the whole cluster is one query, and a scrape none, whatever there is to report.
func TestQueries(t *testing.T) {
	t.Parallel()
	h, count := countedCrowd(t, &status.Config{Token: token})
	before := count.n.Load()

	for range 3 {
		code, body, _ := get(t, h, "/metrics", bearer(token)...)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, body, `pgcoherence_cache_entries{cache="topic19"} 0`)
	}

	require.Zero(t, count.n.Load()-before)
	r, _ := report(t, h)
	require.EqualValues(t, 1, count.n.Load()-before)
	require.Len(t, r.Pods, crowdPods+1)
	require.Len(t, r.Caches, crowdCaches)
	require.Equal(t, "a", r.Pods[0].Name)
	require.True(t, r.Pods[0].Self)
	eventually(t, func() bool { r, _ = report(t, h); return r.Pods[0].Condition == status.ConditionLive }, "its beat says so")
	require.NotEmpty(t, r.Bus.Epoch)
	require.Equal(t, bus.ReasonStart, r.Bus.LastResets[0].Reason)
}

// TestStreamQueries: one query for each reading, however many watch.
func TestStreamQueries(t *testing.T) {
	t.Parallel()
	const interval = 50 * time.Millisecond
	h, count := countedCrowd(t, &status.Config{Token: token, Interval: interval})
	server := serve(t, h)
	begin, before := time.Now(), count.n.Load()
	var all []*watcher
	for range 20 {
		all = append(all, watch(t, server))
	}

	for range 20 {
		for _, w := range all {
			name, _ := w.next(t)
			require.NotEmpty(t, name)
		}
	}

	asked := count.n.Load() - before
	_, body, _ := get(t, h, "/metrics", bearer(token)...)
	reads, err := strconv.Atoi(regexp.MustCompile(`(?m)^pgcoherence_status_reads_total (\d+)$`).FindStringSubmatch(body)[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, reads, 18)
	require.LessOrEqual(t, asked, int64(reads+1), "one may be under way")
	require.LessOrEqual(t, asked, int64(time.Since(begin)/(interval*9/10))+1, "and not more than one an interval")
}

// BenchmarkScrape is /metrics with 20 caches and 50 pods, as curl asks for it and as Prometheus does, beside as many
// series of client_golang's own kinds. It is to stay well below 5 ms.
func BenchmarkScrape(b *testing.B) {
	_, h, registry := crowd(b)
	plain := promhttp.HandlerFor(twin(b, registry), promhttp.HandlerOpts{EnableOpenMetrics: true})
	prom := []string{"Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", "Accept-Encoding", "gzip"}
	for _, bench := range []struct {
		name    string
		handler http.Handler
		headers []string
	}{
		{"ours/curl", h, bearer(token)},
		{"ours/prometheus", h, append(bearer(token), prom...)},
		{"plain/curl", plain, nil},
		{"plain/prometheus", plain, prom},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if code, _, _ := get(b, bench.handler, "/metrics", bench.headers...); code != http.StatusOK {
					b.Fatal(code)
				}
			}
		})
	}
}

// twin has the same series as a registry, held by client_golang's own counters, gauges and histograms.
func twin(t testing.TB, from *prometheus.Registry) *prometheus.Registry {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)

	registry := prometheus.NewRegistry()
	for _, f := range families {
		var names []string
		for _, l := range f.Metric[0].Label {
			names = append(names, l.GetName())
		}

		with := func(m *dto.Metric) (values []string) {
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			return values
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.GetName(), Help: f.GetHelp()}, names)
			for _, m := range f.Metric {
				v.WithLabelValues(with(m)...)
			}
			require.NoError(t, registry.Register(v))
		case dto.MetricType_HISTOGRAM:
			var bounds []float64
			for _, bucket := range f.Metric[0].Histogram.Bucket {
				bounds = append(bounds, bucket.GetUpperBound())
			}

			v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: f.GetName(), Help: f.GetHelp(), Buckets: bounds}, names)
			for _, m := range f.Metric {
				v.WithLabelValues(with(m)...)
			}

			require.NoError(t, registry.Register(v))
		default:
			v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.GetName(), Help: f.GetHelp()}, names)
			for _, m := range f.Metric {
				v.WithLabelValues(with(m)...)
			}
			require.NoError(t, registry.Register(v))
		}
	}

	return registry
}

// BenchmarkStatus is /status with the same, without the query.
func BenchmarkStatus(b *testing.B) {
	_, h, _ := crowd(b)
	for b.Loop() {
		if code, _, _ := get(b, h, "/status", bearer(token)...); code != http.StatusOK {
			b.Fatal(code)
		}
	}
}
