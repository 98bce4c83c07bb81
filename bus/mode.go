package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Mode is how a bus learns of events.
type Mode uint8

// The modes.
const (
	// Auto listens, and polls the log for as long as notifications do not arrive. It is the zero value.
	Auto Mode = iota
	// Listen listens and never polls: where notifications do not arrive the bus becomes Stale, for those who rather see
	// that than the load of polling.
	Listen
	// Poll never listens: the log is read every PollInterval, through one connection. For places where LISTEN is known
	// not to work.
	Poll
)

// String is the mode's name in lower case.
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Listen:
		return "listen"
	case Poll:
		return "poll"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// watchers hand the state to whoever wants to follow it.
type watchers struct {
	mu       sync.Mutex
	last     State
	channels map[chan State]struct{}
}

// WatchState gives a channel that holds the newest state: the present one at once, then each change. It is a level, not
// a history: a receiver that is slow misses what lay between, never what is. Call stop when done with it; the channel
// is not closed.
func (p *Postgres) WatchState() (states <-chan State, stop func()) {
	c := make(chan State, 1)
	p.watchers.mu.Lock()
	defer p.watchers.mu.Unlock()
	if p.watchers.channels == nil {
		p.watchers.channels = make(map[chan State]struct{})
	}
	p.watchers.channels[c] = struct{}{}
	p.watchers.last = p.State()
	c <- p.watchers.last
	return c, func() {
		p.watchers.mu.Lock()
		defer p.watchers.mu.Unlock()
		delete(p.watchers.channels, c)
	}
}

// followState compares the state with the last one told. Staleness comes by itself, with time, so somebody has to look.
func (p *Postgres) followState() {
	p.watchers.mu.Lock()
	defer p.watchers.mu.Unlock()
	now := p.State()
	if now == p.watchers.last {
		return
	}
	from := p.watchers.last
	p.watchers.last = now
	p.stats.transitions.Add(1)
	level := slog.LevelInfo
	if now == Stale {
		level = slog.LevelWarn
	}
	p.log.Log(context.Background(), level, "bus state changed", slog.String("from", from.String()), slog.String("to", now.String()))
	for c := range p.watchers.channels {
		select {
		case <-c: // what was not received is out of date
		default:
		}
		c <- now // there is room: only this goroutine sends, under the lock
	}
}

// watchState follows the state until ctx ends.
func (p *Postgres) watchState(ctx context.Context) {
	t := time.NewTicker(max(p.cfg.StaleAfter/12, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.followState()
		}
	}
}
