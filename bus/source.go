package bus

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

var (
	_ hook.Source = (*Postgres)(nil)
	_ hook.Source = (*Local)(nil)
)

// FreshAge implements hook.Source, like the methods below; only this module can call them.
func (p *Postgres) FreshAge(_ hook.Token, now elapsed.Instant) time.Duration {
	return p.applier.fresh.ageAt(now)
}

// StaleAfter implements hook.Source.
func (p *Postgres) StaleAfter(hook.Token) time.Duration { return p.cfg.StaleAfter }

// ProvenSince implements hook.Source.
func (p *Postgres) ProvenSince(_ hook.Token, t time.Time) bool {
	proven := p.applier.fresh.proven.Load()
	return proven != nil && proven.at.After(t)
}

// Position implements hook.Source.
func (p *Postgres) Position(hook.Token) (epoch string, applied position.Snapshot, ok bool) {
	if at := p.applier.fresh.place.Load(); at != nil && at.epoch != "" {
		return at.epoch, at.applied, true
	}
	return "", position.Snapshot{}, false
}

// Applied says whether this pod has applied the events of a receipt, of whatever pod: what its caches answer from now on
// is from after them. False also if that is not known: the receipt is of another epoch or of a commit whose answer was
// lost. The zero Receipt is applied. It takes one atomic load.
func (p *Postgres) Applied(r Receipt) bool {
	epoch, applied, ok := p.Position(hook.Token{})
	return r.IsZero() || ok && r.xid != 0 && r.epoch == epoch && applied.Sees(r.xid)
}

// Extend implements hook.Source.
func (p *Postgres) Extend(_ hook.Token, window time.Duration) error { return p.lease.extend(window) }

// FreshAge implements hook.Source: a Local bus is always in sync.
func (l *Local) FreshAge(hook.Token, elapsed.Instant) time.Duration { return 0 }

// StaleAfter implements hook.Source.
func (l *Local) StaleAfter(hook.Token) time.Duration { return DefaultStaleAfter }

// ProvenSince implements hook.Source.
func (l *Local) ProvenSince(hook.Token, time.Time) bool { return true }

// Position implements hook.Source: everything up to the last transaction.
func (l *Local) Position(hook.Token) (epoch string, applied position.Snapshot, ok bool) {
	next := l.xid.Load() + 1
	return l.epoch, position.Snapshot{Xmin: next, Xmax: next}, true
}

// Applied says whether the receipt is one of this bus.
func (l *Local) Applied(r Receipt) bool {
	return r.IsZero() || r.epoch == l.epoch && r.xid != 0 && r.xid <= l.xid.Load()
}

// Extend implements hook.Source: there is nobody whose Confirm could be wrong.
func (l *Local) Extend(hook.Token, time.Duration) error { return nil }
