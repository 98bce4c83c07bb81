// Package backoff computes pauses between attempts: exponential growth with full jitter, so that pods that lost one server do
// not reconnect at the same time ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is one series of attempts. The zero value waits up to a nanosecond. It is not safe for concurrent use.
type Backoff struct {
	Base time.Duration // upper bound of the first wait
	Max  time.Duration // upper bound of all waits
	n    int
}

// Next returns the pause before the next attempt: uniform between 0 and min(Max, Base·2ⁿ).
func (b *Backoff) Next() time.Duration {
	bound := b.Max
	if b.n < 32 && b.Base<<b.n > 0 && b.Base<<b.n < b.Max {
		bound = b.Base << b.n
		b.n++
	}
	return rand.N(max(bound, 1))
}

// Reset begins a new series after a success.
func (b *Backoff) Reset() { b.n = 0 }

// Wait waits for d, and reports whether ctx has not ended.
func Wait(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
