package status

import (
	"cmp"
	"context"
	"embed"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// SetClock makes it so many hours later for the gate of a handler.
func SetClock(h *Handler, hours int) {
	h.gate.now = func() time.Time { return time.Now().Add(time.Duration(hours) * time.Hour) }
}

// RightCookie reports whether a handler accepts a cookie.
func RightCookie(h *Handler, value string) bool { return h.gate.rightCookie(value) }

// Fleet returns what is shown of a cluster.
func Fleet(self string, lostAfter time.Duration, c bus.Cluster) []Pod {
	return fleet{self: self, lostAfter: lostAfter}.list(c)
}

// HolderOf finds the process in a notice's detail.
var HolderOf = holderOf

// Queries are the embedded statements.
func Queries() embed.FS { return queries }

// DoctorLimits are the figures from which on something is a finding; zero fields keep their defaults.
type DoctorLimits struct {
	QueueWarn, QueueFail float64
	SnapshotAge          time.Duration
	CommitWait           time.Duration
}

// DoctorWithin is Doctor with other limits.
func DoctorWithin(ctx context.Context, pool *pgxpool.Pool, cfg *DoctorConfig, l DoctorLimits) Diagnosis {
	d := &doctor{pool: pool, cfg: cfg.withDefaults(), limits: defaultLimits()}
	d.limits.queueWarn = cmp.Or(l.QueueWarn, d.limits.queueWarn)
	d.limits.queueFail = cmp.Or(l.QueueFail, d.limits.queueFail)
	d.limits.snapshotAge = cmp.Or(l.SnapshotAge, d.limits.snapshotAge)
	d.limits.commitWait = cmp.Or(l.CommitWait, d.limits.commitWait)
	return d.examine(ctx)
}

// Judge sums up a report.
func Judge(r *Report) Verdict { return judge(r) }

// CacheOf is the first cache of a handler.
func CacheOf(h *Handler) Cache { return h.cfg.Caches[0] }

// Answer replies to a question as another pod would hear it.
func Answer(h *Handler, text string) string { return h.answer(context.Background(), text) }

// History is what a tracker keeps of readings that are taken once a second: points of the hour and of the day.
func History(b Bus, readings int) (hour, day []float64) {
	t := newTracker(time.Second)
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for i := range readings {
		age := float64(i % 10)
		r := Report{At: at.Add(time.Duration(i) * time.Second), Caches: map[string]CacheReport{"users": {Hits: int64(3 * i), Misses: int64(i)}}}
		r.Bus.FreshAgeSeconds, r.Bus.Topics, r.Bus.Resets = &age, []TopicReport{{Topic: "users", Events: int64(5 * i)}}, int64(i/600)
		t.next(r, b.Delays())
	}

	past := t.history()
	for i, line := range [][]sample{past.Hour, past.Day} {
		for _, s := range line {
			if *s.Hits != 0.75 || *s.Fresh != 9 {
				panic("a point that is not what was read")
			}
			if i == 0 {
				hour = append(hour, s.Events)
			} else {
				day = append(day, s.Events)
			}
		}
	}

	return hour, day
}

// DoctorSettings makes only the checks of settings.
func DoctorSettings(ctx context.Context, pool *pgxpool.Pool, cfg *DoctorConfig) Diagnosis {
	d := &doctor{pool: pool, cfg: cfg.withDefaults(), limits: defaultLimits()}
	d.settings(ctx)
	return d.Diagnosis
}
