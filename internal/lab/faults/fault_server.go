package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// serverFaults are the server's.
func serverFaults() []fault {
	return []fault{
		{
			name: "pg-fast-restart", about: "Postgres stops in order and starts again: the log stays",
			inject: func(ctx context.Context, s *scene) error { return s.server.Restart(ctx, pgtest.Fast) },
		},
		{
			name: "pg-immediate", about: "Postgres stops at once and recovers: the log is gone",
			inject: func(ctx context.Context, s *scene) error { return s.server.Restart(ctx, pgtest.Immediate) },
		},
		{
			name: "backend-sigkill", about: "SIGKILL of one backend: Postgres restarts all and recovers",
			inject: killBackend,
		},
		{
			name: "postmaster-sigkill", about: "SIGKILL of all of Postgres, half a second of nothing, recovery",
			inject: crashed,
		},
		{
			name: "promote", about: "failover to a standby that lacks the last commits; pods go on listening to the old primary",
			plan: plan{proxied: true}, inject: promote,
		},
		namesFault(),
	}
}

func crashed(ctx context.Context, s *scene) error {
	if err := s.server.Crash(ctx); err != nil {
		return err
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	return s.server.Start(ctx)
}

func killBackend(ctx context.Context, s *scene) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	if err := s.server.KillBackend(int(conn.PgConn().PID())); err != nil {
		return err
	}

	// It is over when the server takes connections again; it refuses them as soon as it has noticed.
	for _, err := conn.Exec(ctx, "SELECT 1"); err == nil; _, err = conn.Exec(ctx, "SELECT 1") {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}

	return s.answers(ctx)
}

// answers waits until the server takes connections.
func (s *scene) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, livePatience, errors.New("the server does not come back"))
	defer cancel()
	for s.exec(ctx, "SELECT 1") != nil {
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// cutOff makes a standby fall behind: it gets nothing from its primary any more.
func cutOff(ctx context.Context, standby *pgtest.Server) error {
	for _, statement := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if err := execOn(ctx, standby.DSN(""), statement); err != nil {
			return fmt.Errorf("cut the standby off: %w", err)
		}
	}

	for receivers := -1; receivers != 0; {
		if err := queryOn(ctx, standby.DSN(""), "SELECT count(*) FROM pg_stat_wal_receiver", &receivers); err != nil {
			return fmt.Errorf("cut the standby off: %w", err)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}

	return nil
}

// promote fails over to an asynchronous standby. Commits that it has not got are answered on the old primary before:
// nothing can make them hold, but what comes after must be coherent with the new primary, although the pods' listening
// connections still lead to the old one, which is alive and quiet.
func promote(ctx context.Context, s *scene) error {
	standby, err := s.server.Standby(ctx)
	if err != nil {
		return err
	}

	s.finally(standby.Close)

	if err := s.awaitLive(ctx); err != nil { // the copy took a restart
		return err
	}
	if err := pause(ctx, 2*s.timing.Lease); err != nil {
		return err
	}
	// The standby falls behind.
	if err := cutOff(ctx, standby); err != nil {
		return err
	}

	before := s.load.written.Load()

	if err := errors.Join(s.writeReserved(ctx), pause(ctx, 500*time.Millisecond)); err != nil {
		return err
	}
	if s.load.written.Load() == before {
		return errors.New("nothing was written that the standby lacks")
	}

	s.load.hush() // the old primary is fenced: nobody writes there any more
	defer s.load.loud()

	if err := standby.Promote(ctx); err != nil {
		return err
	}

	host, err := hostOf(standby.DSN(""))
	if err != nil {
		return err
	}

	lead := func(paths ...path) error {
		for _, l := range s.links {
			for _, way := range paths {
				if err := l.lead(way, host); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := s.rewind(ctx, standby.DSN(database), func() error { return lead(poolPath, controlPath) }); err != nil {
		return err
	}

	s.load.loud()
	err = s.last(ctx)
	s.load.hush()

	if err != nil {
		return err
	}

	s.healed()
	return lead(listenPath)
}

// writeReserved writes the keys that are left to the fault, again and again: the old primary gets far ahead.
func (s *scene) writeReserved(ctx context.Context) error {
	m := s.pods()[0]
	for i := range 10 * s.reserved {
		w := Write{Path: "tx", Key: s.keys - 1 - i%s.reserved, Version: s.version.Add(1)}
		if err := m.call(ctx, "Write", w, new(string)); err != nil {
			return err
		}
		s.oracle.committed(w.Key, w.Version, time.Now())
	}
	return nil
}

// rewind makes another database the truth, which lacks the last commits. No writer may be at work.
func (s *scene) rewind(ctx context.Context, dsn string, lead func() error) error {
	s.mu.Lock()
	s.truth = dsn
	s.mu.Unlock()

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	versions, err := readVersions(ctx, conn)
	if err != nil {
		return err
	}
	if err := lead(); err != nil {
		return err
	}

	now, last, lost := time.Now(), s.version.Load(), 0
	for key, version := range versions {
		if known := s.oracle.newest(key); known > version {
			lost++
		}
		s.oracle.rewound(key, version, last, now)
	}

	if lost == 0 {
		return errors.New("the new primary lacks nothing")
	}

	s.note("%d keys lost their last versions", lost)
	return nil
}

func queryOn(ctx context.Context, dsn, query string, into any) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)
	return conn.QueryRow(ctx, query).Scan(into)
}

func execOn(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)
	_, err = conn.Exec(ctx, statement)
	return err
}
