package lock

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// outage notices that calls of Acquire get only transient errors, and logs that once when it has gone on for some time:
// callers that wait without a deadline would hang in silence.
type outage struct {
	mu     sync.Mutex
	since  time.Time // zero: there is none
	logged bool
}

// outageLogged is how long an outage goes on before it is logged.
const outageLogged = 3 * time.Second

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since, o.logged = time.Time{}, false
}

func (o *outage) goesOn(ctx context.Context, log *slog.Logger, err error) {
	o.mu.Lock()
	if o.since.IsZero() {
		o.since = time.Now()
	}
	first := !o.logged && time.Since(o.since) >= outageLogged
	o.logged = o.logged || first
	o.mu.Unlock()
	if first {
		log.ErrorContext(ctx, "leases cannot be acquired, trying again: is the database reachable, and is it the primary?",
			slog.Any("error", explain(err)))
	}
}
