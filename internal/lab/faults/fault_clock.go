package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// clockFaults are those of the server's wall clock, on which nothing may rest.
func clockFaults() []fault {
	return []fault{
		{
			name: "clock-leaps", about: "the server's clock leaps ahead while two pods are cut off",
			plan: plan{proxied: true, clock: true}, inject: leaping, missing: missingClock,
		},
		{
			name: "clock-stepped", about: "the server's clock steps an hour ahead, and two back, while pods prune and come and go",
			plan: plan{proxied: true, clock: true}, inject: stepped, missing: missingClock,
		},
	}
}

// leaping lets the clock leap ahead by much more than a pod lease just when two pods are cut off.
func leaping(ctx context.Context, s *scene) error {
	for _, l := range s.links[1:] {
		for _, way := range allPaths {
			if err := l.poison(way, blackHole(upstream), blackHole(downstream)); err != nil {
				return err
			}
		}
	}
	err := errors.Join(s.stepped.set(time.Hour), s.told(ctx, time.Hour), s.last(ctx))
	s.healed()
	for _, l := range s.links {
		l.heal(context.WithoutCancel(ctx))
	}
	return err
}

// stepped steps the clock to and fro. Two pods are cut off for a short while each time: what they missed must still be
// in the log, so they catch up and are not reset.
func stepped(ctx context.Context, s *scene) error {
	for _, difference := range []time.Duration{time.Hour, -time.Hour, 0} {
		for _, l := range s.links[1:] {
			for _, way := range allPaths {
				if err := l.poison(way, blackHole(upstream), blackHole(downstream)); err != nil {
					return err
				}
			}
		}

		err := errors.Join(s.stepped.set(difference), s.told(ctx, difference), pause(ctx, s.options.duration/3))
		s.healed()

		for _, l := range s.links {
			l.heal(context.WithoutCancel(ctx))
		}

		if err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}
	}

	for _, m := range s.pods() {
		status, err := m.status(ctx)
		if err != nil {
			return err
		}
		if status.Stats.LastReset != bus.ReasonStart || status.Stats.Pruned > 0 {
			return fmt.Errorf("%s: last reset %q, %d events pruned: the clock had a say", m.cfg.Name, status.Stats.LastReset, status.Stats.Pruned)
		}
	}

	return nil
}

// told checks that the server's clock is where it was set to: otherwise nothing would be tested.
func (s *scene) told(ctx context.Context, difference time.Duration) error {
	var now time.Time
	if err := s.query(ctx, "SELECT clock_timestamp()", &now); err != nil {
		return err
	}
	if off := now.Sub(time.Now().Add(difference)).Abs(); off > 30*time.Second {
		return fmt.Errorf("the server's clock is off by %v from where it was stepped to", off)
	}
	return nil
}
