package scsstore

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats counts the results of commits since New.
type Stats struct {
	Committed int64 // written, or recorded as a use
	Refused   int64 // dropped: the session has ended, or the user's sessions were ended during the login
	Overtaken int64 // dropped: other requests repeatedly wrote the same session
	Renewed   int64 // of the committed: those that continue a session with a new token
}

type counters struct{ committed, refused, overtaken, renewed atomic.Int64 }

// Stats returns the current counts.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{c.committed.Load(), c.refused.Load(), c.overtaken.Load(), c.renewed.Load()}
}

func newCommitsDesc(topic string) *prometheus.Desc {
	return prometheus.NewDesc("pgcoherence_scsstore_commits_total", "Commits of scs by what became of them.", []string{"result"},
		prometheus.Labels{"topic": topic})
}

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.commits
	s.sessions.Describe(ch)
}

// Collect implements prometheus.Collector. It does no I/O.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	st := s.Stats()
	for result, n := range map[string]int64{"committed": st.Committed, "refused": st.Refused, "overtaken": st.Overtaken} {
		ch <- prometheus.MustNewConstMetric(s.commits, prometheus.CounterValue, float64(n), result)
	}
	s.sessions.Collect(ch)
}
