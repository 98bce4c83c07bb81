package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// loadFaults are things that make the server busy or strange without any of it failing.
func loadFaults() []fault {
	return []fault{
		{
			name: "pool-exhausted", about: "MaxConns 1, and all pools but one are empty for a while: the bus goes on",
			plan:   plan{tune: func(i int, c *podConfig) { c.Conns = 1 }},
			inject: starve,
		},
		{
			name: "notify-queue-full", about: "a listener idle in transaction fills the notification queue: commits go on",
			plan: plan{settings: map[string]string{"max_notify_queue_pages": "64"}}, inject: fillQueue,
			needs: 17,
		},
		{
			name: "long-transaction", about: "a write transaction is open all the while, in another database",
			inject: longTransaction,
		},
		{
			name: "many-in-progress", about: "500 transactions in progress (prepared ones), which end one by one",
			plan: plan{settings: map[string]string{"max_prepared_transactions": "600"}}, inject: manyInProgress,
		},
		{
			name: "50-pods", about: "50 pods (in one process), all connections terminated at once, then a crash",
			plan: plan{
				pods: 50, inside: true, settings: map[string]string{"max_connections": "500"}, writing: 50 * time.Millisecond,
				timing: timing{
					StaleAfter: 1800 * time.Millisecond, Beat: 500 * time.Millisecond, Probe: 600 * time.Millisecond,
					Sweep: 50 * time.Millisecond, Lease: 2500 * time.Millisecond,
				},
				tune: func(_ int, c *podConfig) { c.Conns = 2 },
			},
			inject: many,
		},
	}
}

func starve(ctx context.Context, s *scene) error {
	for _, m := range s.pods()[1:] {
		if err := m.call(ctx, "Suffer", Trouble{Starve: s.options.duration}, new(int)); err != nil {
			return err
		}
	}
	return s.staysLive(ctx, s.options.duration)
}

// staysLive reports whether all pods are Live and fresh for a time.
func (s *scene) staysLive(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, m := range s.pods() {
			status, err := m.status(ctx)
			if err != nil {
				return err
			}
			if !status.Fresh {
				return fmt.Errorf("%s is %v: %+v", m.cfg.Name, status.State, status.Stats)
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// fillQueue: no business commit may fail, and no cache may be stale beyond the bound, although nobody can notify.
func fillQueue(ctx context.Context, s *scene) error {
	idle, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(idle)

	for _, statement := range []string{"LISTEN somebody", "BEGIN"} {
		if _, err := idle.Exec(ctx, statement); err != nil {
			return err
		}
	}

	full := false
	for i := 0; i < 1000 && !full; i++ {
		full = s.exec(ctx, "SELECT pg_notify('somebody', $1::text || '.' || i || repeat('x', 7800)) FROM generate_series(1, 10) AS i",
			fmt.Sprint(i)) != nil
	}

	if !full {
		return errors.New("the queue does not get full")
	}

	written, failed := s.load.written.Load(), s.load.failed.Load()

	if err := s.last(ctx); err != nil {
		return err
	}

	written, failed = s.load.written.Load()-written, s.load.failed.Load()-failed
	s.note("%d commits, %d failed while the queue was full", written, failed)
	s.healed()
	disconnect(idle) // it would have much to read

	if written == 0 || failed > 0 {
		return fmt.Errorf("%d of %d commits failed", failed, written+failed)
	}

	return nil
}

func longTransaction(ctx context.Context, s *scene) error {
	if err := s.exec(ctx, "CREATE DATABASE elsewhere"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.server.DSN("elsewhere"))
	if err != nil {
		return err
	}
	defer disconnect(conn)
	if _, err := conn.Exec(ctx, "BEGIN; SELECT pg_current_xact_id()"); err != nil {
		return err
	}
	return s.staysLive(ctx, s.options.duration)
}

// manyInProgress: prepared transactions are in progress for every snapshot, and need no connections. Half of them
// commit, half are rolled back.
func manyInProgress(ctx context.Context, s *scene) error {
	const n = 500
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	if _, err := conn.Exec(ctx, "CREATE TABLE bystander (i integer)"); err != nil {
		return err
	}

	for i := range n {
		if _, err := conn.Exec(ctx, fmt.Sprintf("BEGIN; INSERT INTO bystander VALUES (%d); PREPARE TRANSACTION 'p%d'", i, i)); err != nil {
			return err
		}
	}

	// A snapshot ends with the last transaction that has completed.
	if _, err := conn.Exec(ctx, "INSERT INTO bystander VALUES (-1)"); err != nil {
		return err
	}

	var inProgress int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())").Scan(&inProgress); err != nil {
		return err
	}
	if s.note("%d in progress", inProgress); inProgress < n {
		return fmt.Errorf("%d transactions in progress, want %d", inProgress, n)
	}
	if err := s.staysLive(ctx, s.options.duration); err != nil {
		return err
	}

	for i := range n {
		end := "COMMIT"
		if i%2 == 1 {
			end = "ROLLBACK"
		}
		if _, err := conn.Exec(ctx, fmt.Sprintf("%s PREPARED 'p%d'", end, i)); err != nil {
			return err
		}
	}

	return nil
}

func many(ctx context.Context, s *scene) error {
	if err := terminate("true")(ctx, s); err != nil {
		return err
	}
	if err := s.awaitLive(ctx); err != nil {
		return err
	}
	if err := pause(ctx, s.timing.Lease); err != nil {
		return err
	}
	if err := s.server.Crash(ctx); err != nil {
		return err
	}

	err := s.server.Start(ctx)
	s.healed()
	return err
}
