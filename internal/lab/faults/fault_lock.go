package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// lockFaults are faults under leases: their histories have to be those of a mutex with growing tokens, and what they
// guard must lose nothing.
func lockFaults() []fault {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		lock := quickLock
		return fault{name: name, about: about, plan: p, inject: inject, lock: &lock}
	}
	inSQL := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		f := row(name, about+", half of the clients by the SQL functions", p, inject)
		f.lock.sql = true
		return f
	}

	lossy := row("lock-failover", "leases: failover to a standby that lacks the last grants and writes", plan{proxied: true}, failOver)
	lossy.lock.lossy = true
	return append([]fault{
		row("lock-none", "leases: nothing happens", plan{}, lasting),
		row("lock-terminated", "leases: pg_terminate_backend, any connection again and again, then all at once", plan{}, terminate("true")),
		row("lock-blackhole", "leases: everything of two pods falls into a black hole, beyond the TTL", plan{proxied: true},
			poisoned(1, allPaths, blackHole(upstream), blackHole(downstream))),
		row("lock-deaf", "leases: the answers of acquire, renew, guard, commit and release are lost, again and again", plan{proxied: true}, deafen),
		row("lock-sigstop", "leases: SIGSTOP of holders beyond the TTL, four times, and on", plan{}, stopHolders(4)),
		row("lock-sigkill", "leases: SIGKILL of holders, three times", plan{}, killHolders),
		row("lock-postmaster-sigkill", "leases: SIGKILL of all of Postgres, recovery", plan{}, crashed),
		row("lock-restart", "leases: Postgres stops in order and starts again", plan{},
			func(ctx context.Context, s *scene) error { return s.server.Restart(ctx, pgtest.Fast) }),
		lossy,
		inSQL("lock-sql", "leases: pg_terminate_backend, any connection again and again, then all at once", plan{}, terminate("true")),
		inSQL("lock-sql-sigkill", "leases: SIGKILL of holders, three times", plan{}, killHolders),
		inSQL("lock-sql-sigstop", "leases: SIGSTOP of holders beyond the TTL, four times, and on", plan{}, stopHolders(4)),
		row("lock-giving-up", "leases: 180 contenders in three pods wait for one lease for 50 ms each", plan{}, giveUp),
	}, slices.Concat(shareFaults(), takeoverFaults())...)
}

// lockControls are one for each guard of leases.
func lockControls() []control {
	row := func(name, about string, of lockPlan, p plan, inject func(context.Context, *scene) error) control {
		return control{fault: fault{name: name, about: "leases: " + about, lock: &of, plan: p, inject: inject}}
	}
	alone := row("Unguarded", "SIGSTOP of holders whose writes do without Guard", quickLock, plan{}, stopHolders(4))
	alone.unguarded = unguardedAlone
	shares := row("UnguardedShares", "SIGSTOP of readers and of holders of semaphores whose transactions do without Guard", sharedLock, plan{}, stopHolders(6))
	shares.unguarded = unguardedShares
	lone := takenOver
	lone.shares = false
	takeover := row("UnguardedTakeover", "SIGSTOP of holders whose sessions end, and whose writes do without Guard", lone, plan{}, stopOwners(4))
	takeover.unguarded = unguardedAlone
	ttl := row("OutliveTTL", "two pods that are cut off rely on their leases beyond the TTL", quickLock, plan{proxied: true},
		poisoned(1, allPaths, blackHole(upstream), blackHole(downstream)))
	ttl.locks = hook.LockGuards{OutliveTTL: true}
	session := row("OutliveSession", "two pods that are cut off rely on their leases when their sessions have ended", takenOver, plan{proxied: true}, cutOwners)
	session.locks = hook.LockGuards{OutliveSession: true}
	return []control{alone, shares, takeover, ttl, session}
}

// holdersStopped is how long holders are stopped: beyond the TTL, so that others take over meanwhile.
const holdersStopped = 1700 * time.Millisecond

// stopHolders stops a pod in the middle of what it is at, so many times.
func stopHolders(times int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for i := range times {
			m := s.pods()[i%len(s.pods())]
			if err := m.freeze(); err != nil {
				return err
			}

			err := pause(ctx, holdersStopped)
			m.thaw()

			if err = errors.Join(err, pause(ctx, 400*time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	}
}

// killHolders kills a pod, and starts another.
func killHolders(ctx context.Context, s *scene) error {
	for range 3 {
		s.pods()[0].kill()
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

// deafen lets requests reach the server and no answers come back, for less than the TTL and for more.
func deafen(ctx context.Context, s *scene) error {
	for i := range 8 {
		for _, l := range s.links {
			if err := l.poison(poolPath, blackHole(downstream)); err != nil {
				return err
			}
		}

		err := pause(ctx, 50*time.Millisecond<<(i%4))

		for _, l := range s.links {
			l.heal(context.WithoutCancel(ctx))
		}

		if err = errors.Join(err, pause(ctx, 350*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// failOver promotes an asynchronous standby that lacks the last commits. The old primary is fenced first: it is killed.
func failOver(ctx context.Context, s *scene) error {
	standby, err := s.server.Standby(ctx)
	if err != nil {
		return err
	}

	s.finally(standby.Close)

	if err := s.awaitLive(ctx); err != nil { // the copy took a restart
		return err
	}
	if _, err := s.locks.grantedAgain(ctx, s.locks.now()); err != nil {
		return err
	}

	s.lossyFrom = s.locks.now()

	if err := cutOff(ctx, standby); err != nil {
		return err
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil { // less than the TTL: holders rely on leases that are to vanish
		return err
	}

	var was, is int64
	if err := s.query(ctx, "SELECT max(token) FROM lockwrite", &was); err != nil {
		return err
	}
	if err := s.server.Crash(ctx); err != nil {
		return err
	}
	if err := standby.Promote(ctx); err != nil {
		return err
	}

	s.mu.Lock()
	s.truth = standby.DSN(database)
	s.mu.Unlock()

	if err := s.query(ctx, "SELECT max(token) FROM lockwrite", &is); err != nil {
		return err
	}
	if is >= was {
		return errors.New("the new primary lacks nothing")
	}

	host, err := hostOf(standby.DSN(""))
	if err != nil {
		return err
	}

	s.lostFrom = s.locks.now() // no pod has spoken to the new primary before
	for _, l := range s.links {
		for _, way := range allPaths {
			if err := l.lead(way, host); err != nil {
				return err
			}
		}
	}

	s.note("the new primary lacks %d grants", was-is)
	return s.last(ctx)
}
