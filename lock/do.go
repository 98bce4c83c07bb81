package lock

import (
	"context"
	"errors"
)

// Do acquires a lease, calls fn, and releases the lease when fn has returned. The lease is renewed until then, even
// if ctx ends. ctx bounds the wait for the lease. fn's context is a child of ctx that also ends when the lease is
// lost, with a *[LostError] as its cause; fn should then return soon. Do returns fn's error, joined with the
// *LostError if the lease was lost before fn returned, because then fn may not have been the only owner.
func (l *Locker) Do(ctx context.Context, key string, fn func(ctx context.Context, lease *Lease) error) error {
	lease, err := l.Acquire(ctx, key)
	if err != nil {
		return err
	}
	return lease.run(ctx, fn)
}

// run calls fn under a lease and releases it.
func (l *Lease) run(ctx context.Context, fn func(ctx context.Context, lease *Lease) error) (err error) {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })()
	defer func() { // also if fn panics
		releaseCtx, done := detached(ctx)
		defer done()
		if released := l.Release(releaseCtx); errors.Is(released, ErrLost) {
			err = errors.Join(err, released)
		}
	}()
	return fn(inner, l)
}
