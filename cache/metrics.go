package cache

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// metrics are the descriptions of what a cache exports, and its histograms. All have the label cache, which is Config.Name.
type metrics struct {
	duration prometheus.Histogram
	lag      prometheus.Histogram

	requests, loads, waiters, loadsRestarted, refused, evictions, invalidations, resets *prometheus.Desc
	entries, absent, cost, loading, remembered, fresh, tier, tierDeletes, codecErrors   *prometheus.Desc
	auditChecks, auditStale, auditNines                                                 *prometheus.Desc
	peeks, refreshes, foreignKeys, callbackPanics, hiddenTx                             *prometheus.Desc
}

// metricFunc sends one value of a description.
type metricFunc[T int64 | float64] func(d *prometheus.Desc, v T, labels ...string)

func newMetrics(name string) *metrics {
	labels := prometheus.Labels{"cache": name}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("pgcoherence_cache_"+name, help, variable, labels)
	}

	return &metrics{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pgcoherence_cache_load_duration_seconds", Help: "How long calls of the loader took.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pgcoherence_cache_invalidation_lag_seconds",
			Help: "From the commit of an event, by the database's clock, until it was applied to this cache.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		requests: desc("requests_total", "Reads by result: hit, negative (known not to exist), miss, bypass "+
			"(the bus was not fresh), stale (held, although the bus was not fresh or a load failed).", "result"),
		loads:          desc("loads_total", "Calls of the loader by result.", "result"),
		waiters:        desc("load_waiters_total", "Reads that waited for a load that another read had begun."),
		loadsRestarted: desc("loads_restarted_total", "Reads that loaded again because a tag was invalidated before they asked."),
		refused:        desc("fills_refused_total", "Loaded values that were not stored, by reason.", "reason"),
		evictions:      desc("evictions_total", "Entries that went, by reason.", "reason"),
		invalidations: desc("invalidations_total", "Keys, tags and whole topics that events named, by where they were published, "+
			"what they named, and whether something of it was held.", "source", "scope", "effect"),
		resets:         desc("resets_total", "Times all was distrusted, by reason.", "reason"),
		entries:        desc("entries", "Values held."),
		absent:         desc("absent_entries", "Keys held as known not to exist."),
		cost:           desc("cost", "Sum of the costs of what is held, in the unit of Config.Cost."),
		loading:        desc("loading_keys", "Keys being loaded."),
		remembered:     desc("remembered_invalidations", "Recent invalidations that values read elsewhere are compared with."),
		fresh:          desc("fresh", "1 if what is held may be served, 0 if the bus is not fresh."),
		tier:           desc("tier_requests_total", "Calls of the tier by operation and result.", "operation", "result"),
		tierDeletes:    desc("tier_deletes_dropped_total", "Keys that were not deleted from the tier; harmless."),
		codecErrors:    desc("codec_errors_total", "Values that the codec could not encode or decode."),
		peeks:          desc("peeks_total", "Calls of Peek by what they found: value, absent, nothing.", "found"),
		refreshes:      desc("refreshes_total", "Loads begun ahead of the end of a TTL."),
		foreignKeys:    desc("foreign_keys_total", "Strings of events that no key of this cache can have: a writer spells keys differently."),
		callbackPanics: desc("callback_panics_total", "Panics of functions of Config other than the loader."),
		hiddenTx:       desc("hidden_transactions_total", "Times a loader looked in its context for its caller's transaction."),
		auditChecks:    desc("audit_checks_total", "Entries that the auditor compared with what the loader read, by result.", "result"),
		auditStale:     desc("audit_stale_total", "Entries found to differ from the database for longer than a bound.", "bound"),
		auditNines: desc("audit_nines", "Minus the decimal logarithm of the part of audited entries that were stale beyond a bound; "+
			"as if one were, if none was.", "bound"),
	}
}

// Describe implements prometheus.Collector.
func (c *Cache[K, V]) Describe(ch chan<- *prometheus.Desc) {
	m := c.metrics
	m.duration.Describe(ch)
	m.lag.Describe(ch)
	for _, d := range []*prometheus.Desc{
		m.requests, m.loads, m.waiters, m.loadsRestarted, m.refused, m.evictions, m.invalidations, m.resets, m.entries, m.absent,
		m.cost, m.loading, m.remembered, m.fresh, m.tier, m.tierDeletes, m.codecErrors, m.peeks, m.refreshes, m.foreignKeys,
		m.callbackPanics, m.hiddenTx, m.auditChecks, m.auditStale, m.auditNines,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It does no I/O.
func (c *Cache[K, V]) Collect(ch chan<- prometheus.Metric) {
	m, s, n := c.metrics, &c.stats, c.totals()
	m.duration.Collect(ch)
	m.lag.Collect(ch)

	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}

	counter(m.requests, n.hits, "hit")
	counter(m.requests, n.negativeHits, "negative")
	counter(m.requests, n.misses, "miss")
	counter(m.requests, n.bypassed, "bypass")
	counter(m.requests, n.staleHits, "stale")

	counter(m.loads, s.loads.Load(), "ok")
	counter(m.loads, s.notFound.Load(), "notfound")
	counter(m.loads, s.loadErrors.Load(), "error")
	counter(m.loads, s.timeouts.Load(), "timeout")
	counter(m.loads, s.panics.Load(), "panic")
	counter(m.loads, s.canceled.Load(), "canceled")
	counter(m.waiters, n.joined)
	for found, name := range [...]string{"value", "absent", "nothing"} {
		counter(m.peeks, s.peeks[found].Load(), name)
	}
	counter(m.refreshes, s.refreshes.Load())
	counter(m.foreignKeys, s.foreignKeys.Load())
	counter(m.callbackPanics, s.callbackPanics.Load())
	counter(m.hiddenTx, s.hiddenTx.Load())

	counter(m.loadsRestarted, s.loadsRestarted.Load())
	for i, why := range refusals {
		counter(m.refused, s.fills[i].Load(), string(why))
	}

	counter(m.evictions, n.evictedCapacity, "capacity")
	counter(m.evictions, n.evictedExpired, "expired")
	counter(m.evictions, n.evictedInvalidated, "invalidated")
	for from, source := range [froms]string{"remote", "local"} {
		for scope, what := range [scopes]string{"key", "tag", "all"} {
			for effect, name := range [2]string{"absent", "hit"} {
				counter(m.invalidations, s.invalidations[from][scope][effect].Load(), source, what, name)
			}
		}
	}

	for i, why := range reasons {
		counter(m.resets, s.resets[i].Load(), string(why))
	}

	gauge(m.entries, float64(n.held.values))
	gauge(m.absent, float64(n.held.absent))
	gauge(m.cost, float64(c.cost.Load()))
	gauge(m.loading, float64(n.loading))
	gauge(m.remembered, float64(c.history.Len()))
	gauge(m.fresh, boolGauge(c.trustAt(elapsed.Now()) != trustNothing))

	if c.tier != nil {
		counter(m.tier, s.tierHits.Load(), "get", "hit")
		counter(m.tier, s.tierMisses.Load(), "get", "miss")
		counter(m.tier, s.tierRefused.Load(), "get", "refused")
		counter(m.tier, s.tierErrors.Load(), "any", "error")
		counter(m.tier, s.tierSkipped.Load(), "any", "skipped")
		counter(m.tier, s.tierSets.Load(), "set", "ok")
		counter(m.tier, s.tierDeletes.Load(), "delete", "ok")
		counter(m.tierDeletes, s.tierDropped.Load())
		counter(m.codecErrors, s.codecErrors.Load())
	}
	c.collectAudit(counter, gauge)
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
