package bus

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	_ prometheus.Collector = (*Postgres)(nil)
	_ prometheus.Collector = (*Local)(nil)
)

const metricPrefix = "pgcoherence_bus_"

// statMetric is a metric that is read from Stats.
type statMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Stats) float64
}

func count(name, help string, value func(*Stats) int64) statMetric {
	return statMetric{desc(name+"_total", help), prometheus.CounterValue, func(s *Stats) float64 { return float64(value(s)) }}
}

func gauge(name, help string, value func(*Stats) float64) statMetric {
	return statMetric{desc(name, help), prometheus.GaugeValue, value}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricPrefix+name, help, labels, nil)
}

// metrics describes all that a bus exports. It is made for each collection: what a bus does is not worth a
// package-level registry.
type metrics struct {
	delivery, state, fresh, staleAfter, retention, info, resets, topicEvents, topicQueue *prometheus.Desc
	stats                                                                                []statMetric
}

// identity is what a bus exports of itself besides counts.
type identity struct {
	name, version string
	fresh         bool
	staleAfter    time.Duration
	retention     time.Duration // negative: for ever
}

func newMetrics() metrics {
	return metrics{
		delivery:    desc("delivery_seconds", "Time from the commit of other pods' events until they were applied here."),
		state:       desc("state", "1 for the state the bus is in, 0 for the others.", "state"),
		fresh:       desc("fresh", "1 if caches are trusted, 0 if this pod cannot prove that it is in sync."),
		staleAfter:  desc("stale_after_seconds", "How old the newest proof of being in sync may be, as configured."),
		retention:   desc("retention_seconds", "How far back the log reaches, as configured; +Inf where nothing is deleted."),
		info:        desc("pod_info", "Always 1: the name of the pod and the version of the application.", "name", "version"),
		resets:      desc("resets_total", "Resets of all subscribers by reason: whatever they held was distrusted.", "reason"),
		topicEvents: desc("topic_events_total", "Events delivered to subscribers of a topic, own ones included.", "topic"),
		topicQueue:  desc("topic_queue_size", "Deliveries that wait for subscribers of a topic.", "topic"),
		stats: []statMetric{
			gauge("fresh_age_seconds", "Time since this pod was last proven to be in sync; +Inf if it is not proven.", freshSeconds),
			gauge("pods", "Pods of this schema, as of the last beat.", func(s *Stats) float64 { return float64(s.Pods) }),
			gauge("announce_pending", "Own events that wait to be announced.", func(s *Stats) float64 { return float64(s.Pending) }),
			gauge("queue_usage_ratio", "How full the server's notification queue is, from 0 to 1, as of the last beat.",
				func(s *Stats) float64 { return s.QueueUsage }),
			gauge("log_rows", "About how many events the log holds, by the pod that sweeps; NaN for the others.", func(s *Stats) float64 { return known(float64(s.LogRows)) }),
			gauge("log_oldest_seconds", "How old the oldest event of the log is, by the pod that sweeps; NaN for the others.",
				func(s *Stats) float64 { return known(s.LogOldest.Seconds()) }),
			count("published", "Events published by this pod.", func(s *Stats) int64 { return s.Published }),
			count("announced", "Events this pod announced after its own commits.", func(s *Stats) int64 { return s.Announced }),
			count("announce_dropped", "Own announcements that were left to the sweep.", func(s *Stats) int64 { return s.Dropped }),
			count("unannounced_swept", "Events of all pods that nobody had announced, found and announced by this pod.",
				func(s *Stats) int64 { return s.Swept }),
			count("received", "Events received through the channel.", func(s *Stats) int64 { return s.Received }),
			count("caught_up", "Events read from the log.", func(s *Stats) int64 { return s.CaughtUp }),
			count("commits_uncertain", "Commits whose outcome is unknown.", func(s *Stats) int64 { return s.Uncertain }),
			count("notifies", "NOTIFY statements sent.", func(s *Stats) int64 { return s.Notifies }),
			count("marks", "Marks sent.", func(s *Stats) int64 { return s.Marks }),
			count("sweeps", "Reads of the log for all pods.", func(s *Stats) int64 { return s.Sweeps }),
			count("beats", "Beats answered.", func(s *Stats) int64 { return s.Beats }),
			count("gaps", "Reads of the log because something may have been missed.", func(s *Stats) int64 { return s.Gaps }),
			count("polls", "Reads of the log because notifications do not arrive.", func(s *Stats) int64 { return s.Polls }),
			count("reconnects", "Connections made after the first, of both kinds.", func(s *Stats) int64 { return s.Reconnects }),
			count("statements", "Statements sent on the bus' own connections.", func(s *Stats) int64 { return s.Statements }),
			count("state_changes", "Changes of state.", func(s *Stats) int64 { return s.Transitions }),
			count("queue_overflows", "Subscribers' queues that were full and became a reset.", func(s *Stats) int64 { return s.Overflows }),
			count("subscriber_panics", "Panics of subscribers.", func(s *Stats) int64 { return s.Panics }),
			count("payloads_malformed", "Payloads on our channel that are not ours.", func(s *Stats) int64 { return s.Malformed }),
			count("payloads_forged", "Payloads with a bad authentication code.", func(s *Stats) int64 { return s.Forged }),
			count("events_unreadable", "Events in the log that cannot be read: bad keys count as the whole topic, a bad topic or transaction as nothing.", func(s *Stats) int64 { return s.Unreadable }),
			count("payloads_unknown", "Payloads of another version or epoch.", func(s *Stats) int64 { return s.Unknown }),
			count("pruned", "Events deleted from the log.", func(s *Stats) int64 { return s.Pruned }),
			count("pods_reaped", "Rows of dead pods deleted.", func(s *Stats) int64 { return s.Reaped }),
		},
	}
}

// known returns NaN for what is not known, which no aggregate and no comparison counts.
func known(v float64) float64 {
	if v < 0 {
		return math.NaN()
	}
	return v
}

func freshSeconds(s *Stats) float64 {
	if s.FreshAge < 0 {
		return math.Inf(1)
	}
	return s.FreshAge.Seconds()
}

func (m metrics) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.delivery, m.state, m.fresh, m.staleAfter, m.retention, m.info, m.resets, m.topicEvents, m.topicQueue} {
		ch <- d
	}
	for _, s := range m.stats {
		ch <- s.desc
	}
}

func (m metrics) collect(ch chan<- prometheus.Metric, self identity, s Stats, d Delays, resets map[Reason]int64, topics []TopicStats) {
	buckets := make(map[float64]uint64, len(d.Bounds))
	var below uint64
	for i, bound := range d.Bounds {
		below += d.Counts[i]
		buckets[bound.Seconds()] = below
	}
	ch <- prometheus.MustNewConstHistogram(m.delivery, d.Count(), d.Sum.Seconds(), buckets)
	for state := Starting; state <= Closed; state++ {
		value := 0.0
		if state == s.State {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, value, state.String())
	}
	fresh := 0.0
	if self.fresh {
		fresh = 1
	}
	ch <- prometheus.MustNewConstMetric(m.fresh, prometheus.GaugeValue, fresh)
	ch <- prometheus.MustNewConstMetric(m.staleAfter, prometheus.GaugeValue, self.staleAfter.Seconds())
	retention := self.retention.Seconds()
	if retention < 0 {
		retention = math.Inf(1)
	}
	ch <- prometheus.MustNewConstMetric(m.retention, prometheus.GaugeValue, retention)
	ch <- prometheus.MustNewConstMetric(m.info, prometheus.GaugeValue, 1, self.name, self.version)

	for reason, n := range resets {
		ch <- prometheus.MustNewConstMetric(m.resets, prometheus.CounterValue, float64(n), string(reason))
	}
	for _, t := range topics {
		ch <- prometheus.MustNewConstMetric(m.topicEvents, prometheus.CounterValue, float64(t.Events), t.Topic)
		ch <- prometheus.MustNewConstMetric(m.topicQueue, prometheus.GaugeValue, float64(t.Queued), t.Topic)
	}
	for _, metric := range m.stats {
		ch <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(&s))
	}
}

// Describe implements prometheus.Collector. Labels are bounded: states, reasons, and topics with subscribers. The pod
// is identified by the scrape target.
func (p *Postgres) Describe(ch chan<- *prometheus.Desc) { newMetrics().describe(ch) }

// Collect implements prometheus.Collector. It does no I/O.
func (p *Postgres) Collect(ch chan<- prometheus.Metric) {
	self := identity{name: p.cfg.Name, version: p.cfg.Version, fresh: p.Fresh(), staleAfter: p.cfg.StaleAfter, retention: p.cfg.Retention}
	newMetrics().collect(ch, self, p.Stats(), p.Delays(), p.stats.resetLog.byReason(), p.Topics())
}

// Describe implements prometheus.Collector.
func (l *Local) Describe(ch chan<- *prometheus.Desc) { newMetrics().describe(ch) }

// Collect implements prometheus.Collector. It does no I/O.
func (l *Local) Collect(ch chan<- prometheus.Metric) {
	newMetrics().collect(ch, identity{name: "local", fresh: l.Fresh()}, l.Stats(), l.Delays(), l.stats.resetLog.byReason(), l.Topics())
}

// Delays returns a histogram of the time from the commit of events of other pods, triggers and SQL clients until they
// were applied here: until this pod's caches had dropped the keys, or other subscribers had the event in their
// queues. Merged events count once, with the time of the oldest. For events that their writer did not announce, only
// the time of the insert is known, so the rest of its transaction is included. The clocks of this machine and of the
// database are compared at each beat, which is inexact by half a round trip.
func (p *Postgres) Delays() Delays { return p.stats.delays.snapshot() }

// Delays returns an empty histogram: a commit and its delivery are one step.
func (l *Local) Delays() Delays { return l.stats.delays.snapshot() }
