package gocronlock

import (
	"context"

	"github.com/go-co-op/gocron/v2"

	"github.com/pgcoherence/pgcoherence/lock"
)

// Elector is a gocron.Elector: gocron.WithDistributedElector(e), with e.Run running.
type Elector struct{ election *lock.Election }

var _ gocron.Elector = (*Elector)(nil)

// NewElector makes one of an election, in which it takes part while Run runs.
func NewElector(e *lock.Election) *Elector { return &Elector{election: e} }

// Run takes part in the election until ctx ends. It blocks; see lock.Election.Run for what it returns.
func (e *Elector) Run(ctx context.Context) error {
	return e.election.Run(ctx, func(ctx context.Context, _ lock.Term) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

// IsLeader implements gocron.Elector: lock.ErrNotLeader on all machines but one. It asks nobody.
func (e *Elector) IsLeader(context.Context) error {
	if !e.election.Leads() {
		return lock.ErrNotLeader
	}
	return nil
}
