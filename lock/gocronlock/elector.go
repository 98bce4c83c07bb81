package gocronlock

import (
	"context"

	"github.com/go-co-op/gocron/v2"

	"github.com/pgcoherence/pgcoherence/lock"
)

// Elector is a gocron.Elector, for gocron.WithDistributedElector(e). Run must be running.
type Elector struct{ election *lock.Election }

var _ gocron.Elector = (*Elector)(nil)

// NewElector returns an Elector for an election, in which it is a candidate while Run runs.
func NewElector(e *lock.Election) *Elector { return &Elector{election: e} }

// Run is a candidate in the election until ctx ends. See lock.Election.Run for its error.
func (e *Elector) Run(ctx context.Context) error {
	return e.election.Run(ctx, func(ctx context.Context, _ lock.Term) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

// IsLeader implements gocron.Elector. It returns lock.ErrNotLeader on all machines but the leader, and does no I/O.
func (e *Elector) IsLeader(context.Context) error {
	if !e.election.Leads() {
		return lock.ErrNotLeader
	}
	return nil
}
