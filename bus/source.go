package bus

import (
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// place is a position for those who may not wait for the applier's lock.
type place struct {
	epoch   string
	applied position.Snapshot
}

var (
	_ hook.Source = (*Postgres)(nil)
	_ hook.Source = (*Local)(nil)
)

// FreshAge implements hook.Source, like the methods below; only this module can call them.
func (p *Postgres) FreshAge(_ hook.Token, now elapsed.Instant) time.Duration {
	return p.applier.freshAgeAt(now)
}

// StaleAfter implements hook.Source.
func (p *Postgres) StaleAfter(hook.Token) time.Duration { return p.cfg.StaleAfter }

// ProvenSince implements hook.Source.
func (p *Postgres) ProvenSince(_ hook.Token, t time.Time) bool {
	proven := p.applier.fresh.Load()
	return proven != nil && proven.at.After(t)
}

// Position implements hook.Source.
func (p *Postgres) Position(hook.Token) (epoch string, applied position.Snapshot, ok bool) {
	if at := p.applier.place.Load(); at != nil && at.epoch != "" {
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
func (p *Postgres) Extend(_ hook.Token, window time.Duration) error {
	p.window.mu.Lock()
	defer p.window.mu.Unlock()
	if window <= p.window.longest {
		return nil
	}
	if err := p.fitsLease(window, p.window.lease); err != nil {
		return err
	}
	p.window.longest = window
	return nil
}

// leaseRead notes the cluster's pod lease and checks that this pod, with all its caches, keeps to it.
func (p *Postgres) leaseRead(lease time.Duration) error {
	p.window.mu.Lock()
	defer p.window.mu.Unlock()
	p.window.lease = lease
	return p.fitsLease(p.window.longest, lease)
}

func (p *Postgres) fitsLease(window, lease time.Duration) error {
	switch trusted := p.cfg.StaleAfter + window; {
	case lease == 0 || trusted <= lease*9/10:
		return nil
	case window == 0:
		return fmt.Errorf("%w: StaleAfter: %v is more than 0.9 of the cluster's pod lease (%v, in the table setting)",
			ErrConfig, p.cfg.StaleAfter, lease)
	default:
		return fmt.Errorf("%w: StaleAfter (%v) and the longest time a cache goes on serving after it (%v) are more than 0.9 of the "+
			"cluster's pod lease (%v, in the table setting)", ErrConfig, p.cfg.StaleAfter, window, lease)
	}
}

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
