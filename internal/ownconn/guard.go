package ownconn

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// grace is how long a call may take to notice that its context has ended.
const grace = time.Second

// maxStuck bounds how many calls of the whole program may be under way that did not notice.
const maxStuck = 8

var stuck atomic.Int32

var errGoexit = errors.New("a function of the application ended its goroutine")

// guard calls fn within a share of time. Since fn calls functions of the application (hooks, Connect), it may panic, end
// its goroutine, or ignore its context: all of these are errors, and none holds the caller up. What fn returns after
// it was given up goes to abandon, if that is not nil.
func guard[T any](ctx context.Context, share time.Duration, fn func(context.Context) (T, error), abandon func(T)) (T, error) {
	var none T
	if n := stuck.Load(); n >= maxStuck {
		return none, fmt.Errorf("%d earlier calls of functions of the application have not returned", n)
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errGoexit}
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("a function of the application panicked: %v", p)}
			}
			cancel()
			done <- r
		}()
		r.value, r.err = fn(ctx)
	}()

	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
	}

	stuck.Add(1)
	go func() {
		r := <-done
		stuck.Add(-1)
		if r.err == nil && abandon != nil {
			abandon(r.value)
		}
	}()
	return none, fmt.Errorf("a function of the application does not return: %w", context.Cause(ctx))
}
