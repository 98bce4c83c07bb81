package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// ending is how a change ends.
type ending int

const (
	committedAndTold ending = iota
	publisherKilled         // committed, and then the process is gone: what it does after a commit is not done
	rolledBack              // nothing has changed
)

// staleFault is a part of the schedule.
type staleFault struct {
	name   string
	about  string
	slow   bool                                           // loads take a while
	ending func(change int) ending                        // nil: all are committed and told
	strike func(ctx context.Context, w *staleWorld) error // a second after the begin; nil: nothing breaks
	mend   func(w *staleWorld)                            // at the end
}

// hole is how long the black hole lasts.
const hole = 5 * time.Second

// every returns an ending for each nth change.
func every(n int, special ending) func(int) ending {
	return func(change int) ending {
		if change%n == n-1 {
			return special
		}
		return committedAndTold
	}
}

// staleFaults are the schedule, always in this order. The failover is the last:
// the old primary is gone afterwards.
var staleFaults = []staleFault{
	{name: "listener ended", about: "three times, the server ends the connections that listen (pg_terminate_backend, CLIENT KILL)", strike: endListeners},
	{name: "black hole", about: "for 5 s, what is sent on listening connections, and to Redis by the reader, is swallowed; then they are reset", strike: blackHole},
	{name: "late fill", about: "loads return 120 ms after their statement; nothing breaks", slow: true},
	{name: "publisher killed", about: "of every third change, nothing is done after the commit", ending: every(3, publisherKilled)},
	{name: "rolled back", about: "every third change is rolled back instead of committed", ending: every(3, rolledBack)},
	{name: "pooler", about: "the listening connections are made again through PgBouncer in transaction mode", strike: throughPooler, mend: pastPooler},
	{name: "server restart", about: "Postgres and Redis are stopped at once, and started", strike: restartServers},
	{name: "failover", about: "the primary is killed, and its synchronous standby promoted; Redis stays", strike: failOver},
}

func endListeners(ctx context.Context, w *staleWorld) error {
	for range 3 {
		_, err := w.writer.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
			AND backend_type = 'client backend' AND application_name <> $1`, statementsOf)
		if err != nil {
			return fmt.Errorf("terminate: %w", err)
		}

		for _, kind := range []string{"pubsub", "normal"} {
			if _, err := w.redis.Do(ctx, "CLIENT", "KILL", "TYPE", kind); err != nil {
				return fmt.Errorf("CLIENT KILL: %w", err)
			}
		}

		sleep(ctx, 1200*time.Millisecond)
	}
	return ctx.Err()
}

func blackHole(ctx context.Context, w *staleWorld) error {
	for _, l := range []*link{w.line, w.cable} {
		l.silence(true)
	}
	sleep(ctx, hole)
	for _, l := range []*link{w.line, w.cable} {
		l.silence(false)
		l.cut()
	}
	return ctx.Err()
}

func throughPooler(_ context.Context, w *staleWorld) error {
	w.line.lead(w.bouncer.Addr())
	w.line.cut()
	return nil
}

func pastPooler(w *staleWorld) {
	w.line.lead(w.address(w.server.postgres))
	w.line.cut()
}

func restartServers(ctx context.Context, w *staleWorld) error {
	w.redis.Stop()
	if err := w.server.postgres.Restart(ctx, pgtest.Immediate); err != nil {
		return err
	}
	return w.redis.Restart(ctx)
}

// failOver loses no commit, so that the oracle knows what is right.
func failOver(ctx context.Context, w *staleWorld) error {
	for _, statement := range []string{`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`} {
		if _, err := w.writer.Exec(ctx, statement); err != nil {
			return fmt.Errorf("failover: %w", err)
		}
	}

	sleep(ctx, time.Second) // until every session has it

	if err := w.server.postgres.Crash(ctx); err != nil {
		return err
	}
	if err := w.standby.Promote(ctx); err != nil {
		return err
	}

	for _, l := range []*link{w.main, w.line} {
		l.lead(w.address(w.standby))
		l.cut()
	}

	return nil
}
