package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgerr"
)

// placeFaults are those of where the data is, and of what stands before it.
func placeFaults() []fault {
	unprepared := func(_ int, c *podConfig) { c.Mode = pgx.QueryExecModeExec }
	return []fault{
		{
			name: "dump-restored", about: "a dump takes the place of the database, which has gone on meanwhile",
			inject: restored, missing: missingDump,
		},
		{
			name: "pgbouncer", about: "everything goes through PgBouncer in transaction mode: the pods poll",
			plan:   plan{before: pooled, tune: unprepared, state: bus.Polling},
			inject: lasting, missing: missingBouncer,
		},
		{
			name: "pgbouncer-connect", about: "the same, but the bus' own connections go past it: the pods are Live",
			plan: plan{before: func(ctx context.Context, s *scene) error {
				s.direct = true
				return pooled(ctx, s)
			}, tune: unprepared},
			inject: lasting, missing: missingBouncer,
		},
		{
			name: "disk-full", about: "the disk of the log is full: no write commits without its event",
			plan: plan{before: smallDisk}, inject: fillDisk, missing: missingMount,
		},
	}
}

// dumpProgram is the pg_dump that fits a major version.
func dumpProgram(major int) string {
	return filepath.Join("/usr/lib/postgresql", strconv.Itoa(major), "bin", "pg_dump")
}

func missingDump(o options) string {
	if _, err := exec.LookPath(dumpProgram(o.version)); err != nil {
		return dumpProgram(o.version)
	}
	return ""
}

// restored takes a dump, lets writers go on, and then puts the restored dump in the place of the database. pg_dump
// carries the rows of unlogged tables along: the copy has the epoch of the original.
func restored(ctx context.Context, s *scene) error {
	const copied = "restored"
	dump, err := exec.CommandContext(ctx, dumpProgram(s.options.version), "--inserts", s.dsn).Output()
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}

	maintenance := s.server.DSN("")
	if err := execOn(ctx, maintenance, "CREATE DATABASE "+copied); err != nil {
		return err
	}
	if err := execOn(ctx, s.server.DSN(copied), withoutMeta(string(dump))); err != nil {
		return fmt.Errorf("restore: %w", err)
	}

	before := s.load.written.Load()

	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	if s.load.written.Load() == before {
		return errors.New("nothing was written that the dump lacks")
	}

	s.load.hush()
	defer s.load.loud()

	swap := func() error {
		for {
			err := execOn(ctx, maintenance, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('`+database+`', '`+copied+`');
				ALTER DATABASE `+database+` RENAME TO outlived; ALTER DATABASE `+copied+` RENAME TO `+database)
			if !pgerr.IsInUse(err) { // a new connection was quicker
				return err
			}
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return err
			}
		}
	}

	// The oracle's look goes to the new one by name, and rewinds before anybody writes there.
	if err := swap(); err != nil {
		return fmt.Errorf("swap: %w", err)
	}

	return s.rewind(ctx, s.dsn, func() error { return nil })
}

// withoutMeta drops psql's own commands and version-dependent settings from a dump.
func withoutMeta(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, `\`) && !strings.HasPrefix(line, "SET transaction_timeout") {
			b.WriteString(line)
		}
	}
	return b.String()
}
