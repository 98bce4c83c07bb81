package main

import (
	"context"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// sharedLock is for rows about readers, writers and semaphores. Few keys, so that many share them.
var sharedLock = lockPlan{keys: 4, ttl: quickLock.ttl, shares: true}

// shareFaults are faults under shared leases and semaphores, beside those who want their keys alone: no guarded reader sees a
// writer's work, no semaphore has more guarded transactions than places, and the histories are those of such locks.
func shareFaults() []fault {
	row := func(name, about string, p plan, inject func(context.Context, *scene) error) fault {
		of := sharedLock
		return fault{name: name, about: "readers, writers and semaphores: " + about, plan: p, inject: inject, lock: &of}
	}
	sql := row("lock-share-sql", "pg_terminate_backend, half of the clients by the SQL functions", plan{}, terminate("true"))
	sql.lock.sql = true
	lossy := row("lock-share-failover", "failover to a standby that lacks the last grants and writes", plan{proxied: true}, failOver)
	lossy.lock.lossy = true
	return []fault{
		row("lock-share-none", "nothing happens", plan{}, lasting),
		row("lock-share-terminated", "pg_terminate_backend, any connection again and again, then all at once", plan{}, terminate("true")),
		row("lock-share-blackhole", "everything of two pods falls into a black hole, beyond the TTL", plan{proxied: true},
			poisoned(1, allPaths, blackHole(upstream), blackHole(downstream))),
		row("lock-share-deaf", "the answers of all statements are lost, again and again", plan{proxied: true}, deafen),
		row("lock-share-sigstop", "SIGSTOP of holders beyond the TTL, four times, and on", plan{}, stopHolders(4)),
		row("lock-share-sigkill", "SIGKILL of holders, three times", plan{}, killHolders),
		row("lock-share-postmaster-sigkill", "SIGKILL of all of Postgres, recovery", plan{}, crashed),
		row("lock-share-restart", "Postgres stops in order and starts again", plan{},
			func(ctx context.Context, s *scene) error { return s.server.Restart(ctx, pgtest.Fast) }),
		lossy,
		sql,
	}
}
