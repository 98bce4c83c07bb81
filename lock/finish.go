package lock

import (
	"context"
	"sync/atomic"
	"time"
)

// finish runs f, which sends statements that can grant a lease, enter a queue or give a lease up, to its end within a
// bound, whatever becomes of ctx: a statement that is cancelled can still take effect, later than the one that undoes it,
// and cancelling costs its connection. When ctx ends first, and f not within a grace after that, finish returns false, and
// abandoned, if not nil, is called with what f has returned, in a goroutine that ends with it.
func finish[T any](ctx context.Context, grace, bound time.Duration, f func(context.Context) T, abandoned func(T)) (result T, ok bool) {
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	if ctx.Done() == nil {
		defer cancel()
		return f(whole), true
	}

	var settled atomic.Bool // by the first of the two: the end of f, or of ctx
	done := make(chan T, 1)
	go func() {
		defer cancel()
		v := f(whole)
		if settled.CompareAndSwap(false, true) {
			done <- v
		} else if abandoned != nil {
			abandoned(v)
		}
	}()

	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		if grace > 0 {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case result = <-done:
				return result, true
			case <-timer.C:
			}
		}
		if !settled.CompareAndSwap(false, true) { // f was faster after all
			return <-done, true
		}
		return result, false
	}
}
