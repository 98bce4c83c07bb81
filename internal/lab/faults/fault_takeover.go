package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// takenOver is for rows about leases that end with the session of their process: with their TTL they would end only after
// the row has failed. Half of the keys are shared.
var takenOver = lockPlan{keys: 8, ttl: 2 * livePatience, takeover: 700 * time.Millisecond, shares: true}

// takeoverFaults are faults under such leases: whoever waits has them soon, and not before the owner relies on them no more.
func takeoverFaults() []fault {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		of := takenOver
		return fault{name: name, about: "takeover: " + about, plan: p, inject: inject, lock: &of}
	}
	lossy := row("lock-takeover-failover", "failover to a standby that lacks the last grants, and all sessions", plan{proxied: true}, failOver)
	lossy.lock.lossy = true
	return []fault{
		row("lock-takeover-sigkill", "SIGKILL of holders, three times; the TTL is 40 s", plan{}, killOwners),
		row("lock-takeover-terminated", "sessions end at the server again and again, their processes live", plan{},
			terminate("application_name LIKE '"+sessionName+"%'")),
		row("lock-takeover-blackhole", "everything of two pods falls into a black hole, and their sessions end", plan{proxied: true}, cutOwners),
		row("lock-takeover-sigstop", "SIGSTOP of holders whose sessions end, four times, and on", plan{}, stopOwners(4)),
		row("lock-takeover-postmaster-sigkill", "SIGKILL of all of Postgres, recovery", plan{}, crashed),
		lossy,
	}
}

// sessionName is what the sessions of processes are called, before the name of the pod.
const sessionName = "pgcoherence lock session "

// endSession ends a pod's session at the server, as when the machine it ran on is gone.
func endSession(ctx context.Context, s *scene, m *member) error {
	var n int
	err := s.query(ctx, fmt.Sprintf(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '%s%s'`,
		sessionName, m.cfg.Name), &n)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s has no session", m.cfg.Name)
	}
	return err
}

// killOwners kills a pod, waits until all keys are granted again, and starts another.
func killOwners(ctx context.Context, s *scene) error {
	for range 3 {
		at := s.locks.now()
		s.pods()[0].kill()

		again, err := s.locks.grantedAgain(ctx, at)
		if err != nil {
			return err
		}

		s.note("all keys granted again %v after a pod was killed", again.Round(time.Millisecond))

		m, err := s.startPod()
		if err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}

		s.locks.drive(m)

		if err := pause(ctx, 700*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// stopOwners stops a pod whose session then ends, so many times.
func stopOwners(times int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for i := range times {
			m := s.pods()[i%len(s.pods())]
			if err := m.freeze(); err != nil {
				return err
			}

			err := endSession(ctx, s, m)
			if err == nil {
				err = pause(ctx, holdersStopped+800*time.Millisecond)
			}

			m.thaw()

			if err = errors.Join(err, pause(ctx, time.Second)); err != nil {
				return err
			}
		}
		return nil
	}
}

// cutOwners cuts two pods off, whose sessions then end at the server, until their leases are taken over.
func cutOwners(ctx context.Context, s *scene) error {
	for _, l := range s.links[1:] {
		for _, way := range allPaths {
			if err := l.poison(way, blackHole(upstream), blackHole(downstream)); err != nil {
				return err
			}
		}
	}

	var errs []error
	for _, m := range s.pods()[1:] {
		errs = append(errs, endSession(ctx, s, m))
	}

	if err := errors.Join(errs...); err != nil {
		return err
	}

	at := s.locks.now()
	again, err := s.locks.grantedAgain(ctx, at)
	s.note("all keys granted again %v after the sessions had ended", again.Round(time.Millisecond))
	err = errors.Join(err, s.last(ctx))
	s.healed()

	for _, l := range s.links {
		l.heal(context.WithoutCancel(ctx))
	}

	return err
}
