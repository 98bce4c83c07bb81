package sessionstore

import "github.com/prometheus/client_golang/prometheus"

// metrics are the descriptions of what Collect sends.
type metrics struct {
	gets, lookups, created, revoked, conflicts, touches, touchesLost, swept, waiting, streams, active *prometheus.Desc
}

func newMetrics(name string) *metrics {
	labels := prometheus.Labels{"store": name}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("pgcoherence_session_"+name, help, variable, labels)
	}

	return &metrics{
		gets:        desc("gets_total", "Sessions asked for by token, by result.", "result"),
		lookups:     desc("lookups_total", "Sessions looked up in the database."),
		created:     desc("created_total", "Sessions created."),
		revoked:     desc("revoked_total", "Sessions ended before their time; for the reasons user and others, users.", "reason"),
		conflicts:   desc("conflicts_total", "Writes of session data that met another write."),
		touches:     desc("touches_total", "Uses of sessions written to the database."),
		touchesLost: desc("touches_lost_total", "Uses of sessions not noted because too many wait to be written."),
		swept:       desc("swept_total", "Rows deleted, or emptied, after they were over.", "kind"),
		waiting:     desc("touches_waiting", "Uses of sessions that wait to be written."),
		streams:     desc("streams", "Streams bound to a session on this pod."),
		active:      desc("active", "Valid sessions in the database, of all pods, as of the last sweep; an estimate if there are many."),
	}
}

// Describe implements prometheus.Collector.
func (s *Store[T]) Describe(ch chan<- *prometheus.Desc) {
	m := s.metrics
	for _, d := range []*prometheus.Desc{
		m.gets, m.lookups, m.created, m.revoked, m.conflicts, m.touches, m.touchesLost, m.swept, m.waiting, m.streams, m.active,
	} {
		ch <- d
	}
	s.rows.Describe(ch)
}

// Collect implements prometheus.Collector. It does no I/O: the number of active sessions is that of the last sweep.
// It includes the metrics of the memory, as pgcoherence_cache_….
func (s *Store[T]) Collect(ch chan<- prometheus.Metric) {
	m, c := s.metrics, &s.stats
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}

	for i, r := range results {
		count(m.gets, c.gets[i].Load(), r.name)
	}
	for i, r := range reasons {
		count(m.revoked, c.ended[i].Load(), string(r))
	}

	for i, name := range sweptNames {
		count(m.swept, c.swept[i].Load(), name)
	}
	count(m.lookups, c.lookups.Load())
	count(m.created, c.created.Load())
	count(m.conflicts, c.conflicts.Load())
	count(m.touches, c.touched.Load())
	count(m.touchesLost, c.touchesLost.Load())
	ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(s.touches.size()))
	ch <- prometheus.MustNewConstMetric(m.streams, prometheus.GaugeValue, float64(s.streams.size()))
	if active, counted := c.activeSessions(); counted {
		ch <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(active))
	}

	s.rows.Collect(ch)
}
