package pgtest

import (
	_ "embed"
	"fmt"
	"io"
	"os/exec"
	"sync"
)

// watchdogScript reads pids until its input ends, which happens when the
// process that started it dies, however it dies.
//
//go:embed watchdog.sh
var watchdogScript string

// watchdog is a process that ends a cluster's server and removes its directory
// if this process dies first. It runs as the server's user.
type watchdog struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	pipe io.WriteCloser // nil after dismiss
}

func startWatchdog(dir string, owner *owner) (*watchdog, error) {
	cmd := exec.Command("sh", "-c", watchdogScript, "pgtest-watchdog", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = owner.attributes()
	// No other child inherits the writing end, so it closes with this process.
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

// guard sets the postmaster to end; 0 means none.
func (w *watchdog) guard(pid int) { w.send(fmt.Sprintf("%d\n", pid)) }

// dismiss ends the watchdog without any action, and waits for its end.
func (w *watchdog) dismiss() {
	w.send("done\n")
	w.mu.Lock()
	pipe := w.pipe
	w.pipe = nil
	w.mu.Unlock()
	if pipe == nil {
		return
	}
	_ = pipe.Close()
	// Its exit status does not matter: it may have been killed by hand.
	_ = w.cmd.Wait()
}

// send writes a line. A write this short does not block, and a watchdog that was
// killed by hand is not an error.
func (w *watchdog) send(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pipe != nil {
		_, _ = io.WriteString(w.pipe, line)
	}
}
