package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// podLease is the cluster's pod lease, and the longest time for which this pod trusts its caches under it.
type podLease struct {
	staleAfter time.Duration // Config.StaleAfter

	mu     sync.Mutex
	window time.Duration // for which a cache goes on serving when the bus is no longer fresh
	lease  time.Duration // 0 while it is not known
}

// set notes the cluster's pod lease. The error says that this pod, with all its caches, does not keep to it.
func (l *podLease) set(lease time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = lease
	return l.check(l.window)
}

// get returns the pod lease as it was last read.
func (l *podLease) get() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease
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
	case l.lease == 0 || trusted <= l.lease*9/10:
		return nil
	case window == 0:
		return fmt.Errorf("%w: StaleAfter: %v is more than 0.9 of the cluster's pod lease (%v, in the table setting)",
			ErrConfig, l.staleAfter, l.lease)
	default:
		return fmt.Errorf("%w: StaleAfter (%v) and the longest time a cache goes on serving after it (%v) are more than 0.9 of the "+
			"cluster's pod lease (%v, in the table setting)", ErrConfig, l.staleAfter, window, l.lease)
	}
}

// loadPodLease reads the pod lease, which is one for the cluster, and checks that this pod keeps to it.
func (e *env) loadPodLease(ctx context.Context, conn *pgx.Conn) error {
	var seconds float64
	e.stats.statements.Add(1)
	if err := conn.QueryRow(ctx, e.sql.lease).Scan(&seconds); err != nil {
		return fmt.Errorf("bus: read pod lease: %w", err)
	}
	return e.lease.set(time.Duration(seconds * float64(time.Second)))
}
