package bus

import (
	"sync/atomic"
	"time"
)

// delayBounds are the upper bounds of the buckets of Delays: from half a millisecond, which a delivery takes at best, to
// half a minute, when a pod has not trusted its caches for long.
var delayBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Delays is a histogram of the time from the commit of other pods' events until they were applied here. The zero
// value is empty.
type Delays struct {
	Bounds []time.Duration // upper bounds, ascending; above the last one there is one more bucket
	Counts []uint64        // one more than Bounds; each counts only its own bucket
	Sum    time.Duration
}

// Count returns the number of measured deliveries.
func (d Delays) Count() uint64 {
	var n uint64
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Since returns what was measured after an earlier reading.
func (d Delays) Since(earlier Delays) Delays {
	if len(earlier.Counts) != len(d.Counts) {
		return d
	}
	since := Delays{Bounds: d.Bounds, Counts: make([]uint64, len(d.Counts)), Sum: d.Sum - earlier.Sum}
	for i, c := range d.Counts {
		since.Counts[i] = c - min(c, earlier.Counts[i])
	}
	return since
}

// Quantile estimates a quantile, with q from 0 to 1, by interpolation within its bucket, as Prometheus does. For
// values above the last bound it returns that bound. It returns 0 if nothing was measured.
func (d Delays) Quantile(q float64) time.Duration {
	total := d.Count()
	if total == 0 {
		return 0
	}

	rank := min(max(q, 0), 1) * float64(total)
	var below float64
	var lower time.Duration
	for i, bound := range d.Bounds {
		n := float64(d.Counts[i])
		if n > 0 && below+n >= rank {
			return lower + time.Duration(float64(bound-lower)*(rank-below)/n)
		}
		below, lower = below+n, bound
	}

	return lower
}

// delays are the moving parts of Delays. Observing takes two atomic additions.
type delays struct {
	counts [len(delayBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// observe notes the delay of a delivery. A negative one, by what the clocks are off, counts as none.
func (d *delays) observe(delay time.Duration) {
	delay = max(delay, 0)
	i := 0
	for i < len(delayBounds) && delay > delayBounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(delay))
}

func (d *delays) snapshot() Delays {
	s := Delays{Bounds: delayBounds[:], Counts: make([]uint64, len(d.counts)), Sum: time.Duration(d.sum.Load())}
	for i := range d.counts {
		s.Counts[i] = d.counts[i].Load()
	}
	return s
}
