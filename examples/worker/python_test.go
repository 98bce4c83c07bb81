package main

import (
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// TestPythonWorker: the worker in Python does jobs beside one in Go; each job is written once.
func TestPythonWorker(t *testing.T) {
	ctx := t.Context()
	python := ""
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if python == "" && exec.Command(name, "-c", "import psycopg2").Run() == nil {
			python = name
		}
	}
	if python == "" {
		pgtest.Missing(t, "python3 with psycopg2 is not on this machine (Debian: apt-get install python3-psycopg2)")
	}
	db, err := openDatabase(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.anew(ctx))
	l, err := lock.New(nil, db.Pool, &lock.Config{Owner: "G", Options: lock.Options{TTL: leaseTTL}})
	require.NoError(t, err)
	w := &worker{name: "G", pool: db.Pool, locker: l}

	const turns = 6
	var both sync.WaitGroup
	both.Go(func() {
		out, err := exec.CommandContext(ctx, python, "-B", "worker.py", db.DSN, "6").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for shard := range shards {
		lease, err := l.Acquire(ctx, keyText+string(rune('0'+shard)))
		require.NoError(t, err)
		var job int
		require.NoError(t, db.Pool.QueryRow(ctx, "SELECT id FROM job WHERE shard = $1 AND tokens = '{}' ORDER BY id LIMIT 1", shard).Scan(&job))
		require.NoError(t, w.finish(ctx, shard, job, lease))
		require.NoError(t, lease.Release(ctx))
	}
	both.Wait()
	var byPython, byGo, twice int
	require.NoError(t, db.Pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE 'P' = ANY (workers)), count(*) FILTER (WHERE 'G' = ANY (workers)),
		count(*) FILTER (WHERE cardinality(tokens) > 1) FROM job`).Scan(&byPython, &byGo, &twice))
	require.Equal(t, turns, byPython)
	require.Equal(t, shards, byGo)
	require.Zero(t, twice)
}
