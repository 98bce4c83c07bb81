package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// crashBriefly kills the server under reads and writes and starts it again at once.
func (s *story) crashBriefly(ctx context.Context, t *tally) error {
	stop := s.startWriters(ctx)
	defer stop()

	resets, err := s.resets(ctx)
	if err != nil {
		return err
	}

	s.say("Every pod writes all the time. All processes of the server are killed, and it is started again.")
	crashed := time.Now()

	if err := s.db.crash(ctx); err != nil {
		return err
	}
	if err := s.db.restart(ctx); err != nil {
		return err
	}

	s.say("It accepted connections again %s after the crash. The log of events is gone, so every pod resets.", ms(time.Since(crashed)))

	if err := s.waitReset(ctx, t, resets, crashed, "crash"); err != nil {
		return err
	}

	confirmed := stop()
	s.say("%d writes were confirmed, before and after; of those running in the crash, both outcomes are possible.", confirmed)
	return s.afterwards(ctx, t)
}

// crashForLong kills the server and starts it again when no pod trusts its cache any more.
func (s *story) crashForLong(ctx context.Context, t *tally) error {
	resets, err := s.resets(ctx)
	if err != nil {
		return err
	}

	s.say("All processes of the server are killed. It stays away until no pod trusts its cache any more.")

	if err := s.db.crash(ctx); err != nil {
		return err
	}

	crashed := time.Now() // no beat returned after this
	if err := s.waitDistrust(ctx, t, crashed); err != nil {
		return err
	}
	if err := s.db.restart(ctx); err != nil {
		return err
	}

	s.say("The server accepted connections again %s after the crash.", ms(time.Since(crashed)))

	if err := s.waitReset(ctx, t, resets, time.Now(), "server's return"); err != nil {
		return err
	}

	return s.afterwards(ctx, t)
}

// waitDistrust waits until no pod is fresh. A pod that is still in sync longer than the bound after the crash fails the
// chapter.
func (s *story) waitDistrust(ctx context.Context, t *tally, crashed time.Time) error {
	var times []string
	err := s.waitAll(ctx, s.pods.alive(), bound+time.Second, func(p target, st podState, err error) bool {
		if late := st.asked.Sub(crashed); err == nil && st.Fresh && late > bound {
			t.fail("pod %s still trusts its cache %s after the crash", p.name, ms(late))
			return true
		}

		if err != nil || st.Fresh {
			return false
		}

		times = append(times, fmt.Sprintf("%s %s", p.name, ms(time.Since(crashed))))
		return true
	})

	s.say("Until then they served from their caches; after that they refuse reads. From the crash: %s.", strings.Join(times, ", "))
	return err
}

// resets returns the number of resets of every pod.
func (s *story) resets(ctx context.Context) (map[string]int64, error) {
	all := map[string]int64{}
	for _, p := range s.pods.alive() {
		st, err := s.client.state(ctx, p)
		if err != nil {
			return nil, err
		}
		all[p.name] = st.Stats.Resets
	}
	return all, nil
}

// waitReset waits until every pod has reset and is in sync again, and prints how long that took.
func (s *story) waitReset(ctx context.Context, t *tally, before map[string]int64, since time.Time, event string) error {
	var times []string
	err := s.waitAll(ctx, s.pods.alive(), readyTimeout, func(p target, st podState, err error) bool {
		if err != nil || st.Stats.Resets == before[p.name] || !inSync(st) {
			return false
		}
		times = append(times, fmt.Sprintf("%s %s", p.name, ms(time.Since(since))))
		if st.Stats.LastReset != bus.ReasonEpoch {
			t.fail("pod %s reset because of %q, want %q", p.name, st.Stats.LastReset, bus.ReasonEpoch)
		}
		return true
	})
	s.say("Reset and in sync again, from the %s: %s.", event, strings.Join(times, ", "))
	return err
}

// afterwards shows that a write is received as before.
func (s *story) afterwards(ctx context.Context, t *tally) error {
	pods := s.pods.alive()
	d := delays{}
	if err := s.probe(ctx, t, pods, s.writeAgain(pods[0]), d); err != nil {
		return err
	}
	s.say("A write on %s is received as before: %s.", pods[0].name, d)
	return nil
}

// writeAgain returns a write after a crash. All connections in a pod's pool are broken, and each fails on its next use. After
// an error the write checks whether the deposit was committed, and tries again if not.
func (s *story) writeAgain(on target) write {
	return func(ctx context.Context) (committed time.Time, err error) {
		before, err := s.truth(ctx, probeAccount)
		if err != nil {
			return time.Time{}, err
		}

		once := s.writeOn(on)
		done, stopped := every(ctx, time.Millisecond, readyTimeout, func() bool {
			if committed, err = once(ctx); err == nil {
				return true
			}

			now, failed := s.truth(ctx, probeAccount)
			if committed = time.Now(); failed == nil && now > before {
				err = nil // it was committed: only the response was lost
			}

			return err == nil
		})
		if stopped == nil && !done {
			return committed, fmt.Errorf("pod %s takes no writes: %w", on.name, err)
		}

		return committed, stopped
	}
}
