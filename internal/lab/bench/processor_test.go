package main

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestParseProcess(t *testing.T) {
	t.Parallel()
	p, err := parseProcess("41 (postgres: a) b (c) S 7 41 41 0 -1 4194304 3 0 0 0 11 22 330 440 20 0 1 0 5\n")
	require.NoError(t, err)
	require.Equal(t, process{command: "postgres: a) b (c", parent: 7, own: 33, ended: 770}, p)
	for _, bad := range []string{"", "41 postgres S 7", ")(", "41 (postgres) S 7", "41 (a) S 7 1 1 0 -1 0 3 0 0 0 x 2 3 4 20"} {
		_, err := parseProcess(bad)
		require.Error(t, err, bad)
	}
}

func TestParseFreeMemory(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 2048<<10, parseFreeMemory("MemTotal:   4096 kB\nMemAvailable:   2048 kB\n"))
	for _, bad := range []string{"", "MemAvailable: much kB\n", "MemAvailable: 9223372036854775807 kB\n"} {
		require.EqualValues(t, -1, parseFreeMemory(bad), bad)
	}
}

func TestClientTimeGrowsWithWork(t *testing.T) {
	t.Parallel()
	requireProc(t)
	var p processor
	begin, err := p.client()
	require.NoError(t, err)

	deadline := time.Now().Add(patience)
	for {
		now, err := p.client()
		require.NoError(t, err)
		if now >= begin+3*tick {
			return
		}
		require.True(t, time.Now().Before(deadline), "this loop is work")
	}
}

// TestServerTimeKeepsThatOfEndedProcesses lets a backend work and end.
func TestServerTimeKeepsThatOfEndedProcesses(t *testing.T) {
	pgtest.RequireBinaries(t)
	requireProc(t)
	s, err := startServer(t.Context(), usualConnections+1)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	p, err := s.processor(t.Context())
	require.NoError(t, err)
	conn, err := s.connect(t.Context())
	require.NoError(t, err)
	const count = `SELECT count(*) FROM generate_series(1, 1000000)`
	backend := strconv.FormatUint(uint64(conn.PgConn().PID()), 10)
	w, err := p.during(func() error {
		for {
			if _, err := conn.Exec(t.Context(), count); err != nil {
				return err
			}
			if one, err := readProcess(backend); err != nil || one.own >= 20 {
				disconnect(conn)
				return err
			}
		}
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, w.server, 15*tick, "before or after its end")
	require.NoError(t, eventually(t.Context(), func() bool {
		_, err := readProcess(backend)
		return err != nil
	}))
	all, err := p.server()
	require.NoError(t, err)
	require.GreaterOrEqual(t, all, 20*tick)
	main, err := readProcess(strconv.Itoa(p.postmaster))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Duration(main.ended)*tick, 20*tick, "the postmaster has counted it")

	reason, err := s.room(t.Context(), 1_000_000)
	require.NoError(t, err)
	require.Contains(t, reason, "1000000 connections, and the server takes ")
	reason, err = s.room(t.Context(), usualConnections+1)
	require.NoError(t, err)
	require.NotContains(t, reason, "the server takes", "what was asked for is there")
}

func TestWorkAddsUp(t *testing.T) {
	t.Parallel()
	require.Equal(t, work{3, 30}, work{1, 10}.plus(work{2, 20}))
}

func requireProc(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skipf("\n*** NOT TESTED: no processor times on %s: %v", runtime.GOOS, err)
	}
}
