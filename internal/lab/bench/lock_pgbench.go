package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// pgbenchScript takes and releases leases by the SQL functions, from a client that is no Go program.
const pgbenchScript = `\set k random(0, 15)
SELECT token FROM pgcoherence.lease_acquire('bench ' || :client_id || ' ' || :k, 'pgbench', '15 s') \gset
SELECT pgcoherence.lease_release('bench ' || :client_id || ' ' || :k, :token);
`

var pgbenchRate = regexp.MustCompile(`(?m)^tps = ([0-9.]+) `)

// findPgbench finds pgbench, which Debian keeps beside the server.
func findPgbench() (string, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("pgbench (package postgresql): %w", exec.ErrNotFound)
	}
	return found[len(found)-1], nil
}

// runPgbench returns how many pairs a second clients of pgbench take and release.
func runPgbench(ctx context.Context, program string, s *server, clients int, length time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "pgbench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)

	script := filepath.Join(dir, "pair.sql")
	if err := os.WriteFile(script, []byte(pgbenchScript), 0o600); err != nil {
		return 0, err
	}

	seconds := strconv.Itoa(max(1, int(length.Round(time.Second)/time.Second)))
	cmd := exec.CommandContext(ctx, program, "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "1", "-T", seconds, "-f", script,
		s.postgres.DSN(s.database))
	var detail bytes.Buffer
	cmd.Stderr = &detail
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, detail.Bytes())
	}

	rate := pgbenchRate.FindSubmatch(out)
	if rate == nil {
		return 0, fmt.Errorf("pgbench: no rate in %s", out)
	}

	return strconv.ParseFloat(string(rate[1]), 64)
}

// measurePgbench compares the SQL functions, called by pgbench, with the Go package, in turns.
func measurePgbench(ctx context.Context, r *report, s *server, ours *lockLease, plan lockPairs) error {
	program, err := findPgbench()
	if err != nil {
		r.row(sqlClients, err.Error(), "SKIPPED", "–", "–")
		return nil
	}

	clients := min(sqlClients, plan.Clients[len(plan.Clients)-1])
	p := plan.Pace
	p.length = max(p.length, 2*time.Second) // pgbench counts whole seconds, and begins with its connections
	var ratio []float64
	for range plan.Rounds {
		rate, err := slot(ctx, &pairs{ours, clients}, clients, p)
		if err != nil {
			return err
		}

		theirs, err := runPgbench(ctx, program, s, clients, p.length)
		if err != nil {
			return err
		}

		ratio = append(ratio, theirs/rate)
	}

	f := newFigure("lock.sql_ratio.pgbench", "ratio", ratio)
	r.add(f)
	r.row()
	r.row("clients", "the SQL functions from pgbench ÷ lock")
	r.row(clients, f.summary)
	r.result(f.Name, f.Value)
	return nil
}
