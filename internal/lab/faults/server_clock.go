package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// serverClock is the wall clock of a server that can be stepped under it: libfaketime is loaded into the server and reads
// the difference from this machine's clock from a file. The monotonic clock, by which the server waits, is left alone.
type serverClock struct {
	dir     string
	library string
}

// clockLibrary is where Debian's package libfaketime puts it; empty if it is not there.
func clockLibrary() string {
	for _, pattern := range []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

func missingClock(options) string {
	if clockLibrary() == "" {
		return "libfaketime (Debian's package faketime)"
	}
	return ""
}

func newServerClock() (_ *serverClock, err error) {
	library := clockLibrary()
	if library == "" {
		return nil, errors.New("libfaketime is not installed")
	}

	dir, err := os.MkdirTemp("", "faults-clock-")
	if err != nil {
		return nil, err
	}

	c := &serverClock{dir: dir, library: library}

	// The server may run as another user.
	if err := errors.Join(os.Chmod(dir, 0o755), c.set(0)); err != nil {
		return nil, errors.Join(err, c.close())
	}

	return c, nil
}

func (c *serverClock) file() string { return filepath.Join(c.dir, "difference") }

func (c *serverClock) environment() []string {
	return []string{
		"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.file(), "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
		"DONT_FAKE_MONOTONIC=1",
	}
}

// set steps the clock to a difference from this machine's. The file is replaced: the server reads it at any time.
func (c *serverClock) set(difference time.Duration) error {
	next := c.file() + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int64(difference/time.Second)), 0o644); err != nil {
		return err
	}
	return os.Rename(next, c.file())
}

func (c *serverClock) close() error { return os.RemoveAll(c.dir) }
