package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is what /proc tells of one.
type process struct {
	command string
	parent  int
	own     int64 // processor time, user's and system's, in ticks
	ended   int64 // that of its children which have ended
}

// tick is the unit of /proc, the same on every Linux.
const tick = 10 * time.Millisecond

// parseProcess reads the line of a file stat. Only its second field, which is in
// parentheses, can contain blanks, and parentheses.
func parseProcess(stat string) (process, error) {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return process{}, fmt.Errorf("process: no command in %q", stat)
	}

	p := process{command: stat[begin+1 : end]}
	fields := strings.Fields(stat[end+1:]) // the third is first here
	const parent, user, system, endedUser, endedSystem = 4 - 3, 14 - 3, 15 - 3, 16 - 3, 17 - 3
	if len(fields) <= endedSystem {
		return process{}, fmt.Errorf("process: %d fields in %q", len(fields)+2, stat)
	}

	var values [endedSystem + 1]int64
	for _, i := range []int{parent, user, system, endedUser, endedSystem} {
		var err error
		if values[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return process{}, fmt.Errorf("process: %w", err)
		}
	}

	p.parent = int(values[parent])
	p.own, p.ended = values[user]+values[system], values[endedUser]+values[endedSystem]
	return p, nil
}

// readProcess takes a pid, or self.
func readProcess(pid string) (process, error) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return process{}, fmt.Errorf("process: %w", err)
	}
	return parseProcess(string(text))
}

// processor tells how much processor time a server and this process have used.
type processor struct{ postmaster int }

// processor needs a server whose processes are seen from here, on Linux.
func (s *server) processor(ctx context.Context) (processor, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return processor{}, err
	}
	defer disconnect(conn)

	var backend int
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return processor{}, fmt.Errorf("processor: %w", err)
	}

	p, err := readProcess(strconv.Itoa(backend))
	if err == nil && !strings.HasPrefix(p.command, "postgres") {
		err = fmt.Errorf("process %d is %s", backend, p.command)
	}
	if err != nil {
		return processor{}, fmt.Errorf("the server's processes must be seen from here, on Linux: %w", err)
	}

	return processor{postmaster: p.parent}, nil
}

// server is the time of the postmaster, of its children, and of those that have
// ended. No process of a server has other children.
func (p processor) server() (time.Duration, error) {
	for range 100 {
		before, err := readProcess(strconv.Itoa(p.postmaster))
		if err != nil {
			return 0, err
		}

		sum := before.own + before.ended
		files, err := filepath.Glob("/proc/[1-9]*/stat")
		if err != nil {
			return 0, fmt.Errorf("process: %w", err)
		}

		for _, file := range files {
			// A process that is gone by now is in ended, or not the server's.
			if child, err := readProcess(filepath.Base(filepath.Dir(file))); err == nil && child.parent == p.postmaster {
				sum += child.own
			}
		}

		after, err := readProcess(strconv.Itoa(p.postmaster))
		if err != nil {
			return 0, err
		}
		if after.ended == before.ended { // else a child may be missing
			return time.Duration(sum) * tick, nil
		}
	}
	return 0, errors.New("process: the server's children come and go too fast")
}

// client is the time of this process.
func (p processor) client() (time.Duration, error) {
	self, err := readProcess("self")
	return time.Duration(self.own) * tick, err
}

// work is processor time.
type work struct{ server, client time.Duration }

func (w work) plus(other work) work {
	return work{w.server + other.server, w.client + other.client}
}

// during answers how much was done while f ran.
func (p processor) during(f func() error) (w work, err error) {
	read := func() (now work) {
		var serverErr, clientErr error
		now.server, serverErr = p.server()
		now.client, clientErr = p.client()
		err = errors.Join(err, serverErr, clientErr)
		return now
	}
	begin := read()
	err = errors.Join(err, f())
	end := read()
	return work{end.server - begin.server, end.client - begin.client}, err
}

// perConnection is how much memory a connection is reckoned to take, on both
// sides.
const perConnection = 16 << 20

// freeMemory is how many bytes can be had without swapping; -1 if that is not known.
func freeMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return -1
	}
	return parseFreeMemory(string(text))
}

func parseFreeMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil || kb > math.MaxInt64>>10 {
				return -1
			}
			return kb << 10
		}
	}
	return -1
}
