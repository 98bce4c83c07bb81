package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// podLease is the cluster's pod lease, and the longest time for which this pod trusts its caches under it.
type podLease struct {
	staleAfter time.Duration // Config.StaleAfter

	mu      sync.Mutex
	window  time.Duration // for which a cache goes on serving when the bus is no longer fresh
	allowed time.Duration // the lease that this pod has to keep to; 0 while it is not known
	wait    time.Duration // the lease that confirmations wait for
	// A lease that was longer counts for as long as it lasted: a pod that has not heard of the shorter one may trust its
	// caches under the longer one until then.
	before      time.Duration
	beforeUntil time.Time
}

// set notes the leases as they were read. The error says that this pod, with all its caches, does not keep to them.
func (l *podLease) set(allowed, wait time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait < l.wait {
		l.before, l.beforeUntil = max(l.wait, l.effective(now)), now.Add(l.effective(now))
	}
	l.allowed, l.wait = allowed, wait
	return l.check(l.window)
}

// get returns the lease that confirmations wait for.
func (l *podLease) get() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.effective(time.Now())
}

func (l *podLease) effective(now time.Time) time.Duration {
	if now.Before(l.beforeUntil) {
		return max(l.wait, l.before)
	}
	return l.wait
}

// trusts returns for how long this pod goes on trusting its caches at most.
func (l *podLease) trusts() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.staleAfter + l.window
}

// extend notes that a cache serves for a window after the bus has ceased to be fresh.
func (l *podLease) extend(window time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if window <= l.window {
		return nil
	}
	if err := l.check(window); err != nil {
		return err
	}
	l.window = window
	return nil
}

// check reports whether StaleAfter and a window fit into the lease. The caller holds the lock.
func (l *podLease) check(window time.Duration) error {
	switch trusted := l.staleAfter + window; {
	case l.allowed == 0 || trusted <= l.allowed*9/10:
		return nil
	case window == 0:
		return fmt.Errorf("%w: StaleAfter: %v is more than 0.9 of the cluster's pod lease (%v; change it with SetPodLease)",
			ErrConfig, l.staleAfter, l.allowed)
	default:
		return fmt.Errorf("%w: StaleAfter (%v) and the longest time a cache goes on serving after it (%v) are more than 0.9 of the "+
			"cluster's pod lease (%v; change it with SetPodLease)", ErrConfig, l.staleAfter, window, l.allowed)
	}
}

// loadPodLease reads the pod lease, which is one for the cluster, and checks that this pod keeps to it.
func (e *env) loadPodLease(ctx context.Context, conn *pgx.Conn) error {
	var allowed, wait int64
	e.stats.statements.Add(1)
	if err := conn.QueryRow(ctx, e.sql.lease).Scan(&allowed, &wait); err != nil {
		return fmt.Errorf("bus: read pod lease: %w", err)
	}
	return e.lease.set(milliseconds(allowed), milliseconds(wait))
}

// maxPodLease bounds what is read from the database.
const maxPodLease = 24 * time.Hour

func milliseconds(n int64) time.Duration {
	return min(max(time.Duration(min(n, maxPodLease.Milliseconds()))*time.Millisecond, 100*time.Millisecond), maxPodLease)
}

// SetPodLease changes the pod lease of all pods of a schema while they run. The pod lease, from 100 ms to 1 hour, is
// how long a pod can trust its caches at most, and so how long Confirm waits for a pod that is cut off. An empty
// schema means [DefaultSchema]. The role of the pool must own the schema.
//
// A longer lease applies to confirmations at once. It allows a longer StaleAfter only when SetPodLease returns. That
// takes at least the old lease, because all pods have to know the new one first. If a pod does not within a minute,
// nothing is changed and the error names the pod. A shorter lease is refused while the StaleAfter of any pod, or of a
// cache that serves stale values, is more than 0.9 of it.
func SetPodLease(ctx context.Context, pool *pgxpool.Pool, schema string, lease time.Duration) error {
	if schema == "" {
		schema = DefaultSchema
	}
	if err := sqltext.CheckSchema(schema); err != nil {
		return fmt.Errorf("%w: schema: %w", ErrConfig, err)
	}
	call := sqltext.Render("CALL /*schema*/pgcoherence.set_pod_lease($1 * interval '1 millisecond')", schema)
	if _, err := pool.Exec(ctx, call, lease.Milliseconds()); err != nil {
		return fmt.Errorf("bus: set pod lease: %w", explain(err))
	}
	return nil
}
