package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// stateWatchers delivers each change of the state to those who follow it.
type stateWatchers struct {
	*env
	health *health

	mu       sync.Mutex
	last     State
	channels map[chan State]struct{}
}

func newStateWatchers(e *env, h *health) *stateWatchers {
	return &stateWatchers{env: e, health: h, channels: make(map[chan State]struct{})}
}

// add returns a channel that holds the present state, and a function that removes it.
func (w *stateWatchers) add() (states <-chan State, stop func()) {
	c := make(chan State, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channels[c] = struct{}{}
	w.last = w.health.current()
	c <- w.last
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.channels, c)
	}
}

// run follows the state until ctx ends. It polls, because a bus becomes stale by the mere passing of time.
func (w *stateWatchers) run(ctx context.Context) {
	t := time.NewTicker(max(w.cfg.StaleAfter/12, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.check()
		}
	}
}

// check compares the state with the last one delivered.
func (w *stateWatchers) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.health.current()
	if now == w.last {
		return
	}

	from := w.last
	w.last = now
	w.stats.transitions.Add(1)
	level := slog.LevelInfo
	if now == Stale {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, "bus state changed", slog.String("from", from.String()), slog.String("to", now.String()))

	for c := range w.channels {
		select {
		case <-c: // what was not received is out of date
		default:
		}
		c <- now // there is room: only this goroutine sends, under the lock
	}
}
