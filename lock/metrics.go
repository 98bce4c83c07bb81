package lock

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counts of a Locker, and the collectors made of them. Nothing is registered anywhere.
type metrics struct {
	tries, claims, handed, unpublished, raised, stolen, refused, beats, beatsFailed, beatTook, takenOver, sessionsLost atomic.Int64

	labels         prometheus.Labels
	wait, hold     prometheus.Histogram
	results, losts *prometheus.CounterVec
}

// The results of acquired_total.
const (
	resultGranted  = "granted"
	resultHeld     = "held"
	resultCanceled = "canceled"
	resultError    = "error"
)

const prefix = "pgcoherence_lock_"

// buckets are from half a millisecond to an hour: a hand-over takes one, a job may take the other.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// newMetrics makes the metrics of the Locker of a name: the label distinguishes two in one registry.
func newMetrics(name string) *metrics {
	labels := prometheus.Labels{"locker": name}
	m := &metrics{
		labels: labels,
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "wait_seconds", Help: "How long Acquire took until it was granted a lease.", Buckets: buckets, ConstLabels: labels,
		}),
		hold: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "hold_seconds", Help: "How long leases were held until they were released or lost.", Buckets: buckets, ConstLabels: labels,
		}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "acquired_total", Help: "Attempts to take a lease by result.", ConstLabels: labels,
		}, []string{"result"}),
		losts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "lost_total", Help: "Leases lost by reason.", ConstLabels: labels,
		}, []string{"reason"}),
	}

	for _, r := range []string{resultGranted, resultHeld, resultCanceled, resultError} {
		m.results.WithLabelValues(r)
	}

	for _, r := range []Reason{ReasonExpired, ReasonTaken, ReasonDisconnected, ReasonClosed} {
		m.losts.WithLabelValues(string(r))
	}
	return m
}

func (m *metrics) acquired(err error) {
	result := resultError
	switch {
	case err == nil:
		result = resultGranted
	case errors.Is(err, ErrHeld):
		result = resultHeld
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		result = resultCanceled
	}
	m.results.WithLabelValues(result).Inc()
}

func (m *metrics) waited(d time.Duration, err error) {
	if err == nil {
		m.wait.Observe(d.Seconds())
	}
}

func (m *metrics) release(held time.Duration) { m.hold.Observe(held.Seconds()) }

func (m *metrics) lose(reason Reason, held time.Duration) {
	m.losts.WithLabelValues(string(reason)).Inc()
	m.hold.Observe(held.Seconds())
}
