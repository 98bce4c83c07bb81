package bus_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	b, err := bus.NewPostgres(lazyPool(t), &bus.Config{Name: "a", Logger: quiet})
	require.NoError(t, err)
	defer b.Subscribe("users", bus.SubscriberFuncs{})()

	for _, c := range []prometheus.Collector{b, bus.NewLocal()} {
		problems, err := testutil.CollectAndLint(c)
		require.NoError(t, err)
		require.Empty(t, problems)
	}

	families := gatherMetrics(t, b)
	require.Contains(t, families, "pgcoherence_bus_delivery_seconds")
	require.Len(t, families["pgcoherence_bus_delivery_seconds"].Metric[0].Histogram.Bucket, 15)
	require.Len(t, families["pgcoherence_bus_state"].Metric, 6)
	require.Len(t, families["pgcoherence_bus_resets_total"].Metric, 5)
}

// gatherMetrics registers a collector and collects it, so that what it describes and what it collects have to agree.
func gatherMetrics(t *testing.T, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// value is a metric's, of the first label's value if that is given.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, label ...string) int64 {
	t.Helper()
	f := families["pgcoherence_bus_"+name]
	require.NotNil(t, f, name)
	for _, m := range f.Metric {
		if len(label) == 0 || m.Label[0].GetValue() == label[0] {
			return int64(m.GetGauge().GetValue() + m.GetCounter().GetValue())
		}
	}
	require.Fail(t, "no such label", "%s %v", name, label)
	return 0
}

// TestMetricsTell: what happened is what the metrics say.
func TestMetricsTell(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	defer b.Subscribe("item", bus.SubscriberFuncs{})() // a second subscriber does not make more events

	_, err := a.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{"1", "2"}})
	require.NoError(t, err)
	eventually(t, func() bool { return b.has("1") }, "delivered by itself: what is read together is one delivery")
	_, err = pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', '3')")
	require.NoError(t, err)
	eventually(t, func() bool { return b.has("3") && a.has("3") }, "delivered")
	eventually(t, func() bool { return b.Delays().Count() == 2 && a.Delays().Count() == 1 }, "own events have no delay")
	eventually(t, func() bool { return a.Stats().Pods == 2 }, "a beat since")

	on := gatherMetrics(t, b)
	require.EqualValues(t, 2, on["pgcoherence_bus_delivery_seconds"].Metric[0].Histogram.GetSampleCount())
	require.Positive(t, on["pgcoherence_bus_delivery_seconds"].Metric[0].Histogram.GetSampleSum())
	require.EqualValues(t, 1, value(t, on, "resets_total", "start"))
	require.EqualValues(t, 0, value(t, on, "resets_total", "epoch"))
	require.EqualValues(t, 1, value(t, on, "state", "live"))
	require.EqualValues(t, 0, value(t, on, "state", "stale"))
	require.EqualValues(t, 2, value(t, on, "topic_events_total", "item"))
	require.Less(t, value(t, on, "fresh_age_seconds"), int64(3))
	require.EqualValues(t, 1, value(t, gatherMetrics(t, a), "published_total"))

	last := b.Resets()
	require.Len(t, last, 1)
	require.Equal(t, bus.ReasonStart, last[0].Reason)
	require.False(t, last[0].At.IsZero())

	before := b.Stats().Statements
	taken := pool.Stat().AcquireCount()
	b.stop()
	gatherMetrics(t, b)
	require.Equal(t, taken, pool.Stat().AcquireCount(), "collecting takes nothing from the pool")
	require.GreaterOrEqual(t, b.Stats().Statements, before)
	require.EqualValues(t, 1, value(t, gatherMetrics(t, b), "state", "closed"))
}

// TestQueueUsage: it comes with the beat.
func TestQueueUsage(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, _ *fakeServer, b *bus.Postgres, _ *logBuffer) {
		<-b.Ready()
		synctest.Wait()
		require.InDelta(t, 0.25, b.Stats().QueueUsage, 0)
		require.InDelta(t, 0.25, gatherMetrics(t, b)["pgcoherence_bus_queue_usage_ratio"].Metric[0].Gauge.GetValue(), 0)
	})
}

func TestTopicsQueue(t *testing.T) {
	t.Parallel()
	b := bus.NewLocal()
	busy, free := make(chan struct{}), make(chan struct{})
	stop := b.Subscribe("slow", bus.SubscriberFuncs{OnInvalidate: func(bus.Delivery) { busy <- struct{}{}; <-free }})
	defer b.Subscribe("other", bus.SubscriberFuncs{})()

	for range 3 {
		_, err := b.Publish(t.Context(), bus.Event{Topic: "slow", All: true})
		require.NoError(t, err)
	}

	<-busy
	require.Equal(t, []bus.TopicStats{{Topic: "other", Subscribers: 1}, {Topic: "slow", Events: 3, Subscribers: 1, Queued: 2}}, b.Topics())
	stop()
	close(free)
	require.Equal(t, []bus.TopicStats{{Topic: "other", Subscribers: 1}}, b.Topics())
}

func TestDelays(t *testing.T) {
	t.Parallel()
	d := bus.Delays{Bounds: []time.Duration{time.Second, 2 * time.Second}, Counts: []uint64{10, 10, 0}}
	require.EqualValues(t, 20, d.Count())
	require.Equal(t, time.Second, d.Quantile(0.5))
	require.Equal(t, 1500*time.Millisecond, d.Quantile(0.75))
	require.Equal(t, 2*time.Second, d.Quantile(1))
	later := bus.Delays{Bounds: d.Bounds, Counts: []uint64{10, 11, 4}}
	require.Equal(t, []uint64{0, 1, 4}, later.Since(d).Counts)
	require.Equal(t, 2*time.Second, later.Since(d).Quantile(0.99), "above the last bound there is nothing to tell")
	require.Equal(t, later, later.Since(bus.Delays{}))
	require.Zero(t, bus.Delays{}.Quantile(0.5))
}

// TestMetricNames: one word for one thing, and nobody's keys.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	for name, f := range gatherMetrics(t, bus.NewLocal()) {
		require.True(t, strings.HasPrefix(name, "pgcoherence_bus_"), name)
		require.NotEmpty(t, f.GetHelp(), name)
		require.Equal(t, f.GetType() == dto.MetricType_COUNTER, strings.HasSuffix(name, "_total"), name)
	}
}
