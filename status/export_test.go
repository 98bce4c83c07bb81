package status

import (
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

// RightCookie says whether a handler accepts a cookie.
func RightCookie(h *Handler, value string) bool { return h.gate.rightCookie(value) }

// Fleet shows what becomes of lists of pods.
type Fleet = fleet

// NewFleet makes one.
func NewFleet(self string, lostAfter, keep time.Duration) *Fleet {
	return &fleet{self: self, lostAfter: lostAfter, keep: keep}
}

// See takes a list.
func (f *fleet) See(pods []bus.Pod, at time.Time) []Pod { return f.see(pods, at) }

// HolderOf finds the process in a notice's detail.
var HolderOf = holderOf

// Queries are the embedded statements.
func Queries() embed.FS { return queries }

// DoctorWithQueue is Doctor with other limits for the notification queue.
func DoctorWithQueue(ctx context.Context, pool *pgxpool.Pool, warn, fail float64) Diagnosis {
	d := &doctor{pool: pool, cfg: (*DoctorConfig)(nil).withDefaults(pool), queueWarn: warn, queueFail: fail}
	return d.examine(ctx)
}
