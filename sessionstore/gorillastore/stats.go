package gorillastore

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats counts the results of saves since New.
type Stats struct {
	Saved     int64 // written, or recorded as a use
	Refused   int64 // dropped: the session has ended, or the user's sessions were ended during the login
	Overtaken int64 // dropped: another request wrote last, or replaced the token
	Ended     int64 // by a negative MaxAge
	Renewed   int64 // of the saved: those that got a new token
}

type counters struct{ saved, refused, overtaken, ended, renewed atomic.Int64 }

// Stats returns the current counts.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{c.saved.Load(), c.refused.Load(), c.overtaken.Load(), c.ended.Load(), c.renewed.Load()}
}

func newSavesDesc(topic string) *prometheus.Desc {
	return prometheus.NewDesc("pgcoherence_gorillastore_saves_total", "Saves of gorilla by what became of them.", []string{"result"},
		prometheus.Labels{"topic": topic})
}

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.saves
	s.sessions.Describe(ch)
}

// Collect implements prometheus.Collector. It does no I/O.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	st := s.Stats()
	for result, n := range map[string]int64{"saved": st.Saved, "refused": st.Refused, "overtaken": st.Overtaken, "ended": st.Ended} {
		ch <- prometheus.MustNewConstMetric(s.saves, prometheus.CounterValue, float64(n), result)
	}
	s.sessions.Collect(ch)
}
