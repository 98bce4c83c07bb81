package lock

import "github.com/prometheus/client_golang/prometheus"

// simple are the metrics that are read from Stats.
var _ prometheus.Collector = (*Locker)(nil)

type simpleMetric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(Stats) float64
}

func simpleMetrics() []simpleMetric {
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	return []simpleMetric{
		{"held", "Leases this process holds.", gauge, func(s Stats) float64 { return float64(s.Held) }},
		{"held_shared", "Shared leases among them.", gauge, func(s Stats) float64 { return float64(s.HeldShared) }},
		{"held_places", "Places of semaphores among them.", gauge, func(s Stats) float64 { return float64(s.HeldPlaces) }},
		{"waiting", "Acquire calls of this process that wait.", gauge, func(s Stats) float64 { return float64(s.Waiting) }},
		{"incarnation", "Incarnation of the newest token granted here.", gauge, func(s Stats) float64 { return float64(s.Incarnation) }},
		{"tries_total", "Statements sent to take a lease.", counter, func(s Stats) float64 { return float64(s.Tries) }},
		{"claims_total", "Statements sent by waiters that were woken.", counter, func(s Stats) float64 { return float64(s.Claims) }},
		{"handed_total", "Leases handed to the next waiter.", counter, func(s Stats) float64 { return float64(s.Handed) }},
		{"unpublished_total", "Events that could not be published.", counter, func(s Stats) float64 { return float64(s.Unpublished) }},
		{"stolen_total", "Leases this process took away from their owners.", counter, func(s Stats) float64 { return float64(s.Stolen) }},
		{"taken_over_total", "Leases taken from processes whose sessions had ended.", counter, func(s Stats) float64 { return float64(s.TakenOver) }},
		{"sessions_lost_total", "Sessions of this process that leases end with and that broke.", counter, func(s Stats) float64 { return float64(s.SessionsLost) }},
		{"guards_refused_total", "Guards that were refused.", counter, func(s Stats) float64 { return float64(s.GuardsRefused) }},
		{"heartbeats_total", "Statements that renewed leases.", counter, func(s Stats) float64 { return float64(s.Heartbeats) }},
		{
			"heartbeats_failed_total", "Statements that should have renewed leases or kept waiters.", counter,
			func(s Stats) float64 { return float64(s.HeartbeatsFailed) },
		},
	}
}

func (m simpleMetric) desc(labels prometheus.Labels) *prometheus.Desc {
	return prometheus.NewDesc(prefix+m.name, m.help, nil, labels)
}

// Describe implements prometheus.Collector.
func (l *Locker) Describe(ch chan<- *prometheus.Desc) {
	m := l.c.metrics
	for _, c := range []prometheus.Collector{m.wait, m.hold, m.results, m.losts} {
		c.Describe(ch)
	}
	for _, s := range simpleMetrics() {
		ch <- s.desc(m.labels)
	}
}

// Collect implements prometheus.Collector. It does no I/O.
func (l *Locker) Collect(ch chan<- prometheus.Metric) {
	m := l.c.metrics
	for _, c := range []prometheus.Collector{m.wait, m.hold, m.results, m.losts} {
		c.Collect(ch)
	}
	stats := l.Stats()
	for _, s := range simpleMetrics() {
		ch <- prometheus.MustNewConstMetric(s.desc(m.labels), s.kind, s.value(stats))
	}
}
