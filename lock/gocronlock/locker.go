package gocronlock

import (
	"context"
	"errors"

	"github.com/go-co-op/gocron/v2"

	"github.com/pgcoherence/pgcoherence/lock"
)

// Prefix is the prefix of the lease keys of jobs.
const Prefix = "gocron/"

// Locker is a gocron.Locker, for gocron.WithDistributedLocker(gocronlock.NewLocker(l)).
type Locker struct{ locker *lock.Locker }

var _ gocron.Locker = (*Locker)(nil)

// NewLocker returns a Locker. The lock.Locker has to run; otherwise a job that takes longer than the TTL loses its
// lease.
func NewLocker(l *lock.Locker) *Locker { return &Locker{locker: l} }

// Lock implements gocron.Locker. It returns an error that is lock.ErrHeld if another machine runs the job, or started
// it less than MinHold ago. key is the job's name.
func (l *Locker) Lock(ctx context.Context, key string) (gocron.Lock, error) {
	lease, err := l.locker.TryAcquire(ctx, Prefix+key)
	if err != nil {
		return nil, err
	}
	return &jobLock{lease: lease}, nil
}

type jobLock struct{ lease *lock.Lease }

// Unlock implements gocron.Lock. A lease that was lost is an error, since another run may have begun before this one
// ended.
func (j *jobLock) Unlock(ctx context.Context) error {
	if err := j.lease.Release(ctx); err != nil && !errors.Is(err, lock.ErrReleased) {
		return err
	}
	return nil
}
