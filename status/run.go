package status

import (
	"context"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Run records the history of this pod in memory (an hour in steps of 10 seconds, a day in steps of 2 minutes), and
// replies to the live pages of other pods, until ctx ends. Without clients it reads nothing from the database. It
// returns nil when all its goroutines have ended, or ErrRunning on a second call.
//
// Without Run the handler serves everything else, but the history contains only what was watched, and the pages of
// other pods can neither show nor search this one.
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
