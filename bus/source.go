package bus

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

var (
	_ hook.Door       = (*Postgres)(nil)
	_ hook.Door       = (*Local)(nil)
	_ hook.Hinter     = insider{}
	_ hook.Weakener   = insider{}
	_ hook.Sweeper    = insider{}
	_ hook.Statements = insider{}
)

// Internal is for this module: other modules cannot name the type of its parameter.
func (p *Postgres) Internal(hook.Token) hook.Source { return insider{p} }

// Internal is for this module: other modules cannot name the type of its parameter.
func (l *Local) Internal(hook.Token) hook.Source { return localInsider{l} }

// insider is a bus as this module's own caches, stores and fault tests see it.
type insider struct{ p *Postgres }

// Weaken implements hook.Weakener.
func (i insider) Weaken(g hook.Guards) { i.p.guards = g }

// Sweep implements hook.Sweeper.
func (i insider) Sweep() { i.p.requests.set(&i.p.requests.sweep) }

// DifferenceSQL implements hook.Statements.
func (i insider) DifferenceSQL() string { return i.p.sql.difference }

// FreshAge implements hook.Source.
func (i insider) FreshAge(now elapsed.Instant) time.Duration {
	return i.p.applier.fresh.ageAt(now)
}

// StaleAfter implements hook.Source.
func (i insider) StaleAfter() time.Duration { return i.p.cfg.StaleAfter }

// ProvenSince implements hook.Source.
func (i insider) ProvenSince(t time.Time) bool {
	return i.p.applier.fresh.provenSince(t)
}

// Position implements hook.Source.
func (i insider) Position() (epoch string, applied position.Snapshot, ok bool) {
	if at := i.p.applier.fresh.place.Load(); at != nil && at.epoch != "" {
		return at.epoch, at.applied, true
	}
	return "", position.Snapshot{}, false
}

// Applied reports whether this pod has applied the events of a receipt of any pod. If so, everything that its caches
// return from now on is from after the events. It returns false if that is not known, because the receipt is from
// another epoch or from a commit with an unknown outcome. It returns true for the zero Receipt. It takes one atomic
// load.
func (p *Postgres) Applied(r Receipt) bool {
	epoch, applied, ok := insider{p}.Position()
	return r.IsZero() || ok && r.xid != 0 && r.epoch == epoch && applied.Sees(r.xid)
}

// Extend implements hook.Source.
func (i insider) Extend(window time.Duration) error { return i.p.lease.extend(window) }

// localInsider is the same of a Local bus.
type localInsider struct{ l *Local }

// FreshAge implements hook.Source: a Local bus is always in sync.
func (i localInsider) FreshAge(elapsed.Instant) time.Duration { return 0 }

// StaleAfter implements hook.Source.
func (i localInsider) StaleAfter() time.Duration { return DefaultStaleAfter }

// ProvenSince implements hook.Source.
func (i localInsider) ProvenSince(time.Time) bool { return true }

// Position implements hook.Source: everything up to the last transaction.
func (i localInsider) Position() (epoch string, applied position.Snapshot, ok bool) {
	next := i.l.xid.Load() + 1
	return i.l.epoch, position.Snapshot{Xmin: next, Xmax: next}, true
}

// Applied reports whether the receipt is from this bus.
func (l *Local) Applied(r Receipt) bool {
	return r.IsZero() || r.epoch == l.epoch && r.xid != 0 && r.xid <= l.xid.Load()
}

// Extend implements hook.Source: there is no other pod whose Confirm could be wrong.
func (i localInsider) Extend(time.Duration) error { return nil }
