package status

import (
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

const (
	keptPoints  = 61  // readings that rates are computed from
	keptSamples = 120 // of the lag's line
	shortSpan   = 3   // readings that a rate of events is over
	longSpan    = 10  // readings that a hit ratio is over
)

// sample is one point of the lag's line: what happened between two readings.
type sample struct {
	At     time.Time `json:"at"`
	Events float64   `json:"events_per_second"`
	P50    *float64  `json:"p50_seconds"` // null: nothing arrived
	P99    *float64  `json:"p99_seconds"`
}

// update is what the live page is told at each reading: the Report, and what was between readings.
type update struct {
	Report
	Sample    sample              `json:"sample"`
	LagMinute LagReport           `json:"lag_minute"`
	Rates     map[string]float64  `json:"topic_events_per_second"`
	HitNow    map[string]*float64 `json:"cache_hit_ratio_now"` // null: nobody asked
	Reads     map[string]float64  `json:"cache_reads_per_second"`
}

// tracker computes rates from readings. It is not safe for concurrent use.
type tracker struct {
	points []point // oldest first
	line   []sample
}

type point struct {
	at     time.Time
	delays bus.Delays
	events map[string]int64    // by topic
	reads  map[string][2]int64 // by cache: hits and others
}

// next takes a reading.
func (t *tracker) next(r Report, delays bus.Delays) update {
	now := point{at: r.At, delays: delays, events: make(map[string]int64), reads: make(map[string][2]int64)}
	for _, topic := range r.Bus.Topics {
		now.events[topic.Topic] = topic.Events
	}
	for name, c := range r.Caches {
		now.reads[name] = [2]int64{c.Hits, c.Misses + c.Bypassed}
	}
	u := update{
		Report: r, Sample: sample{At: r.At}, Rates: make(map[string]float64), HitNow: make(map[string]*float64),
		Reads: make(map[string]float64),
	}
	if last, ok := t.back(1); ok {
		u.Sample = between(last, now)
	}
	if first, ok := t.back(shortSpan); ok {
		seconds := now.at.Sub(first.at).Seconds()
		for topic, n := range now.events {
			u.Rates[topic] = rate(n-first.events[topic], seconds)
		}
		for name, n := range now.reads {
			u.Reads[name] = rate(n[0]+n[1]-first.reads[name][0]-first.reads[name][1], seconds)
		}
	}
	if first, ok := t.back(longSpan); ok {
		for name, n := range now.reads {
			u.HitNow[name] = ratio(n[0]-first.reads[name][0], n[1]-first.reads[name][1])
		}
	}
	if first, ok := t.back(keptPoints); ok {
		u.LagMinute = lagReport(delays.Since(first.delays))
	}
	t.points = append(t.points[max(0, len(t.points)-keptPoints+1):], now)
	t.line = append(t.line[max(0, len(t.line)-keptSamples+1):], u.Sample)
	return u
}

// back is the reading n before the one that comes, or the oldest there is.
func (t *tracker) back(n int) (point, bool) {
	if len(t.points) == 0 {
		return point{}, false
	}
	return t.points[max(0, len(t.points)-n)], true
}

// samples are the points of the line, for somebody else to keep.
func (t *tracker) samples() []sample { return slices.Clone(t.line) }

func between(a, b point) sample {
	s := sample{At: b.at}
	var events int64
	for topic, n := range b.events {
		events += n - a.events[topic]
	}
	s.Events = rate(events, b.at.Sub(a.at).Seconds())
	if d := b.delays.Since(a.delays); d.Count() > 0 {
		p50, p99 := d.Quantile(0.5).Seconds(), d.Quantile(0.99).Seconds()
		s.P50, s.P99 = &p50, &p99
	}
	return s
}

// rate is never negative: a topic that was dropped and subscribed to again counts from 0.
func rate(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(max(n, 0)) / seconds
}
