package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// logFaults happen to the log itself.
func logFaults() []fault {
	return []fault{
		{
			name: "prepared-transaction", about: "prepared before a crash, committed after it: its event is gone",
			plan: plan{reserved: 1}, inject: prepared,
		},
		{name: "truncate", about: "TRUNCATE of the log, again and again", inject: repeated("TRUNCATE pgcoherence.event")},
		{name: "vacuum-full", about: "VACUUM FULL of the log, again and again", inject: repeated("VACUUM FULL pgcoherence.event")},
		{
			name: "schema-dropped", about: "the schema is dropped under the running pods, and made anew",
			inject: dropped,
		},
		{
			name: "pruning", about: "two pods are cut off for longer than the log reaches back",
			plan:   plan{proxied: true, tune: func(_ int, c *podConfig) { c.Keep = time.Second }},
			inject: pruned,
		},
	}
}

// prepared: the transaction survives the crash, its row in the unlogged log does not.
func prepared(ctx context.Context, s *scene) error {
	key, version := s.keys-1, s.version.Add(1)
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, update, key, version); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pgcoherence.invalidate($1, VARIADIC $2::text[])", topic, makeKeys(key, version)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "PREPARE TRANSACTION 'faults'"); err != nil {
		return err
	}
	if err := s.server.Crash(ctx); err != nil {
		return err
	}
	if err := s.server.Start(ctx); err != nil {
		return err
	}
	if err := s.awaitLive(ctx); err != nil { // all caches hold the old value again
		return err
	}
	if err := pause(ctx, s.timing.Lease); err != nil {
		return err
	}
	if err := s.exec(ctx, "COMMIT PREPARED 'faults'"); err != nil {
		return err
	}

	s.oracle.committed(key, version, time.Now())
	s.healed()
	return pause(ctx, 2*s.timing.StaleAfter)
}

// repeated executes a statement four times.
func repeated(statement string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for range 4 {
			s.healed()
			if err := s.exec(ctx, statement); err != nil {
				return err
			}
			if err := pause(ctx, s.options.duration/4); err != nil {
				return err
			}
		}
		return nil
	}
}

func dropped(ctx context.Context, s *scene) error {
	if err := s.exec(ctx, "DROP SCHEMA pgcoherence CASCADE"); err != nil {
		return err
	}
	if err := s.last(ctx); err != nil {
		return err
	}

	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()

	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}

	return s.setLease(ctx)
}

// pruned: what the pods that are cut off miss is deleted, so they must reset.
func pruned(ctx context.Context, s *scene) error {
	for _, l := range s.links[1:] {
		for _, way := range allPaths {
			if err := l.poison(way, blackHole(upstream), blackHole(downstream)); err != nil {
				return err
			}
		}
	}

	err := pause(ctx, 3*time.Second)
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

	for _, m := range s.pods()[1:] {
		status, err := m.status(ctx)
		if err != nil {
			return err
		}
		if status.Stats.LastReset != bus.ReasonPruned {
			return fmt.Errorf("%s was not reset as it must: %q", m.cfg.Name, status.Stats.LastReset)
		}
	}

	return nil
}
