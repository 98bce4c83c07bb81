package status

import (
	"slices"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

const (
	keptPoints  = 61  // readings that rates are computed from
	keptSamples = 120 // of the live line
	shortSpan   = 3   // readings that a rate of events is over
	longSpan    = 10  // readings that a hit ratio is over
)

// sample is one point of a line: what happened between two readings.
type sample struct {
	At     time.Time `json:"at"`
	Events float64   `json:"events_per_second"`
	P50    *float64  `json:"p50_seconds"` // null: nothing arrived
	P99    *float64  `json:"p99_seconds"`
	Hits   *float64  `json:"hit_ratio"`         // of all caches; null: not asked
	Fresh  *float64  `json:"fresh_age_seconds"` // the oldest proof; null: nothing was proven
	Resets int64     `json:"resets"`
}

// update is what the live page is sent at each reading: the Report, and what was between readings.
type update struct {
	Report
	Sample    sample              `json:"sample"`
	LagMinute LagReport           `json:"lag_minute"`
	Rates     map[string]float64  `json:"topic_events_per_second"`
	HitNow    map[string]*float64 `json:"cache_hit_ratio_now"` // null: not asked
	Reads     map[string]float64  `json:"cache_reads_per_second"`
}

// tracker computes rates from readings, and keeps the past. It is safe for concurrent use.
type tracker struct {
	least time.Duration // between two readings that are kept

	mu     sync.Mutex
	points []point // oldest first
	line   []sample
	series []*series
}

func newTracker(interval time.Duration) *tracker {
	return &tracker{least: interval / 2, series: newSeries()}
}

type point struct {
	at     time.Time
	delays bus.Delays
	events map[string]int64    // by topic
	reads  map[string][2]int64 // by cache: hits and others
	fresh  *float64
	resets int64
}

func pointOf(r *Report, delays bus.Delays) point {
	now := point{
		at: r.At, delays: delays, events: make(map[string]int64), reads: make(map[string][2]int64), fresh: r.Bus.FreshAgeSeconds,
		resets: r.Bus.Resets,
	}
	for _, topic := range r.Bus.Topics {
		now.events[topic.Topic] = topic.Events
	}
	for name, c := range r.Caches {
		now.reads[name] = [2]int64{c.Hits, c.Misses + c.Bypassed}
	}
	return now
}

// next takes a reading. One that comes right after another, since both Run and the live page read, is only compared with
// those before.
func (t *tracker) next(r Report, delays bus.Delays) update {
	now := pointOf(&r, delays)
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.points
	if n := len(before); n > 1 && now.at.Sub(before[n-1].at) < t.least {
		before = before[:n-1]
		return t.compare(before, r, now)
	}

	u := t.compare(before, r, now)
	t.points = append(t.points[max(0, len(t.points)-keptPoints+1):], now)
	t.line = append(t.line[max(0, len(t.line)-keptSamples+1):], u.Sample)
	for _, s := range t.series {
		s.add(now)
	}
	return u
}

// compare computes what happened since the readings before.
func (t *tracker) compare(before []point, r Report, now point) update {
	u := update{
		Report: r, Sample: sample{At: r.At}, Rates: make(map[string]float64), HitNow: make(map[string]*float64),
		Reads: make(map[string]float64),
	}
	if last, ok := back(before, 1); ok {
		u.Sample = between(last, now)
	}

	if first, ok := back(before, shortSpan); ok {
		seconds := now.at.Sub(first.at).Seconds()
		for topic, n := range now.events {
			u.Rates[topic] = rate(n-first.events[topic], seconds)
		}
		for name, n := range now.reads {
			u.Reads[name] = rate(n[0]+n[1]-first.reads[name][0]-first.reads[name][1], seconds)
		}
	}

	if first, ok := back(before, longSpan); ok {
		for name, n := range now.reads {
			u.HitNow[name] = ratio(n[0]-first.reads[name][0], n[1]-first.reads[name][1])
		}
	}

	if first, ok := back(before, keptPoints); ok {
		u.LagMinute = lagReport(now.delays.Since(first.delays))
	}

	return u
}

// back returns the reading n before the one that comes, or the oldest there is.
func back(points []point, n int) (point, bool) {
	if len(points) == 0 {
		return point{}, false
	}
	return points[max(0, len(points)-n)], true
}

// samples are the points of the live line, for others to keep.
func (t *tracker) samples() []sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.line)
}

func between(a, b point) sample {
	s := sample{At: b.at, Fresh: b.fresh, Resets: max(b.resets-a.resets, 0)}
	var events, hits, others int64
	for topic, n := range b.events {
		events += max(n-a.events[topic], 0) // a topic that was dropped and subscribed to again counts from 0
	}

	for name, n := range b.reads {
		hits += max(n[0]-a.reads[name][0], 0)
		others += max(n[1]-a.reads[name][1], 0)
	}

	s.Events, s.Hits = rate(events, b.at.Sub(a.at).Seconds()), ratio(hits, others)
	if d := b.delays.Since(a.delays); d.Count() > 0 {
		p50, p99 := d.Quantile(0.5).Seconds(), d.Quantile(0.99).Seconds()
		s.P50, s.P99 = &p50, &p99
	}

	return s
}

// rate is never negative.
func rate(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(max(n, 0)) / seconds
}
