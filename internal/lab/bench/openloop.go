package main

import (
	"context"
	"sync"
	"time"
)

// openLoop calls f for each of n events at its time, whether or not the calls
// for those before have returned: a slow one delays none but itself. It returns
// the first error when all calls have ended.
func openLoop(ctx context.Context, n int, start time.Time, period time.Duration, f func(ctx context.Context, event int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var calls sync.WaitGroup
	for event := range n {
		sleep(ctx, time.Until(start.Add(time.Duration(event)*period)))

		if ctx.Err() != nil {
			break
		}

		calls.Go(func() {
			if err := f(ctx, event); err != nil {
				cancel(err)
			}
		})
	}

	calls.Wait()
	return context.Cause(ctx)
}
