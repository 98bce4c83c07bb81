package bus

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/naming"
)

// env is what all parts of one bus share: settings, statements, counters, and what they ask of the control loop. The
// parts know env and each other by narrow fields; none of them knows Postgres.
type env struct {
	cfg      Config
	id       uuid.UUID
	log      *slog.Logger
	sql      *queries
	stats    counters
	guards   hook.Guards // zero but in fault tests
	requests requests
	pods     atomic.Int64 // of this schema, as of the last beat
	lease    podLease

	asciiOnly atomic.Bool // the database's encoding is not UTF8
}

// ID returns the random id of this pod.
func (e *env) ID() string { return e.id.String() }

// statementTimeout is how long a statement of the bus may take.
func (e *env) statementTimeout() time.Duration { return 2 * e.cfg.ProbeTimeout }

// channel is the notification channel: one per schema, however many caches.
func (e *env) channel() string { return naming.Channel(e.cfg.Schema) }

// minBeatGap is the least time between two beats on request. Confirmations that wait meanwhile share one: with 50 pods
// it is 50 ms, so requests cost at most a thousand beats a second, however many confirm.
func (e *env) minBeatGap() time.Duration {
	return time.Duration(max(e.pods.Load(), 2)) * time.Millisecond
}
