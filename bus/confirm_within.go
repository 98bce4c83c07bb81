package bus

import (
	"context"
	"errors"
	"time"
)

// ConfirmWithin is Confirm for request paths. It returns true when the receipt is confirmed, and false without an
// error if d passes first. The event is in the log in either case: every healthy pod applies it soon, and a pod that
// is cut off stops trusting its cache within the pod lease. So do not repeat the write after false. The error is that
// of Confirm.
func (p *Postgres) ConfirmWithin(ctx context.Context, r Receipt, d time.Duration) (bool, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, d, errWaited)
	defer cancel()

	err := p.Confirm(bounded, r)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(bounded), errWaited):
		return false, nil
	}
	return false, err
}

// ConfirmWithin returns true at once, because there is no other pod.
func (l *Local) ConfirmWithin(ctx context.Context, _ Receipt, _ time.Duration) (bool, error) {
	return ctx.Err() == nil, ctx.Err()
}

// errWaited is the cause of a context that ConfirmWithin has bounded.
var errWaited = errors.New("bus: not confirmed in time")
