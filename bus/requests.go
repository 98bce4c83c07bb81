package bus

import (
	"context"
	"sync/atomic"
	"time"
)

// requests are what other goroutines ask of the control loop.
type requests struct {
	wake      chan struct{} // one of the others was set
	read      atomic.Bool   // read the difference
	beat      atomic.Bool   // beat at once
	sweep     atomic.Bool   // sweep soon: a writer that announces nothing has committed
	listening atomic.Uint64 // the number of the connection that listens and has caught up; 0: there is none
}

func newRequests() requests { return requests{wake: make(chan struct{}, 1)} }

// set raises a flag and wakes the loop.
func (r *requests) set(flag *atomic.Bool) {
	flag.Store(true)
	r.signal()
}

// signal wakes the loop, so that it computes its due times again.
func (r *requests) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// sleepUntilSignalled waits until signal is called, d has passed or ctx ends.
func (r *requests) sleepUntilSignalled(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-t.C:
	}
}
