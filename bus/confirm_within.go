package bus

import (
	"context"
	"errors"
	"time"
)

// ConfirmWithin is Confirm for request paths. It returns true when the receipt is confirmed, and false without an error
// when d has passed before: the event is in the log then, every pod that works has it or is about to, and one that is cut
// off stops trusting its cache within the pod lease. So a false is no reason to repeat the write, only not to promise more.
// The error is that of Confirm: ErrUnconfirmed, ErrNotRunning, or what ctx says. Any goroutine may call it.
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

// ConfirmWithin confirms at once: there is no other pod.
func (l *Local) ConfirmWithin(ctx context.Context, _ Receipt, _ time.Duration) (bool, error) {
	return ctx.Err() == nil, ctx.Err()
}

// errWaited is the cause of a context that ConfirmWithin has bounded.
var errWaited = errors.New("bus: not confirmed in time")
