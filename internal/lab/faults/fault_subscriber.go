package main

import (
	"context"
	"errors"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// subscriberFaults are those of code that the bus calls.
func subscriberFaults() []fault {
	queued := plan{tune: func(_ int, c *podConfig) { c.Direct, c.Queue = false, 50 }}
	row := func(name, about string, t func(d time.Duration) Trouble, shows func(bus.Stats) int64) fault {
		return fault{name: name, about: about, plan: queued, inject: func(ctx context.Context, s *scene) error {
			m := s.pods()[1]
			if err := m.call(ctx, "Suffer", t(s.options.duration), new(int)); err != nil {
				return err
			}

			err := s.last(ctx)
			s.healed()

			if err := m.call(context.WithoutCancel(ctx), "Suffer", Trouble{}, new(int)); err != nil {
				return err
			}
			if err != nil || shows == nil {
				return err
			}

			status, err := m.status(ctx)
			if err == nil && shows(status.Stats) == 0 {
				err = errors.New("the subscriber did not suffer")
			}

			return err
		}}
	}
	return []fault{
		row("subscriber-slow", "one subscriber takes 50 ms for each delivery; its queue overflows",
			func(time.Duration) Trouble { return Trouble{Delay: 50 * time.Millisecond} },
			func(s bus.Stats) int64 { return s.Overflows }),
		row("subscriber-blocked", "one subscriber hangs",
			func(d time.Duration) Trouble { return Trouble{Block: d} },
			func(s bus.Stats) int64 { return s.Overflows }),
		row("subscriber-panicking", "one subscriber panics twenty times",
			func(time.Duration) Trouble { return Trouble{Panics: 20} },
			func(s bus.Stats) int64 { return s.Panics }),
	}
}
