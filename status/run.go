package status

import (
	"context"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Run keeps the past of this pod in memory, an hour in steps of 10 seconds and a day in steps of 2 minutes, and answers
// what the live pages of other pods ask of this one, until ctx ends. It reads nothing from the database as long as nobody
// asks. It returns when all that it started has ended: nil, or ErrRunning if it was called before.
//
// A Handler that does not run serves everything all the same. But the past then is what somebody has watched, and this
// pod cannot be opened, nor searched, on the pages of others.
func (h *Handler) Run(ctx context.Context) error {
	if !h.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if others := h.correspondent(); others != nil {
		wg.Go(func() { others.Answer(ctx, h.answer) })
	}

	t := time.NewTicker(h.cfg.Interval)
	defer t.Stop()
	for {
		h.tracker.next(h.report(sight{}), h.bus.Delays())
		h.places.note(h.bus)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// correspondent is the way to the other pods, nil if the bus knows of none.
func (h *Handler) correspondent() hook.Correspondent {
	c, _ := hook.SourceOf(h.bus).(hook.Correspondent)
	return c
}
