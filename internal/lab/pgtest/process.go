package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is a program that a test needs beside its servers, such as a proxy or
// what manages a cluster: it runs as the servers' user in a directory of its own,
// and ends when the process that started it dies. Its methods are not safe for
// concurrent use.
type Process struct {
	dir      string
	owner    *owner
	watchdog *watchdog
	cmd      *exec.Cmd
	exited   chan struct{} // closed once it is reaped; nil before the first start
}

// NewProcess makes the directory. The caller calls Close.
func NewProcess() (*Process, error) {
	owner, err := findOwner()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-process-")
	if err != nil {
		return nil, err
	}
	p := &Process{dir: dir, owner: owner}
	if err = errors.Join(owner.own(dir), os.Chmod(dir, 0o711)); err == nil { //nolint:gosec // searchable by the user it runs as
		p.watchdog, err = startWatchdog(dir, owner)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// Dir returns the program's directory, which is also its current one.
func (p *Process) Dir() string { return p.dir }

// WriteFile writes a file into the directory and returns its path. Only the
// program's user can read it.
func (p *Process) WriteFile(name, text string) (string, error) {
	path := filepath.Join(p.dir, name)
	return path, errors.Join(os.WriteFile(path, []byte(text), 0o600), p.owner.own(path))
}

// FreePort returns a port that no program listens on.
func FreePort() (int, error) { return freePort() }

// Start runs the program. Its output goes to the file log in the directory.
func (p *Process) Start(program string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...) // without a context: Kill or Stop ends it
	cmd.Dir, cmd.Env = p.dir, append(serverEnvironment(), "HOME="+p.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = p.owner.attributes()
	err = cmd.Start()
	_ = log.Close() // the child has its own descriptor
	if err != nil {
		return err
	}

	p.cmd, p.exited = cmd, make(chan struct{})
	p.watchdog.guard(cmd.Process.Pid)
	go func(exited chan struct{}) { // ends with the program, for which Close waits
		_ = cmd.Wait() // its log says how it ended
		p.watchdog.guard(0)
		close(exited)
	}(p.exited)
	return nil
}

// Log returns the end of the program's output.
func (p *Process) Log() string { return tail(filepath.Join(p.dir, "log"), 0) }

// Exited returns a channel that is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the program by SIGKILL and returns when it is gone. Its children go on.
func (p *Process) Kill() error {
	if p.cmd == nil {
		return ErrNotRunning
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
	return nil
}

// Stop asks the program to end, by SIGTERM, and waits for it.
func (p *Process) Stop(ctx context.Context) error {
	if p.cmd == nil {
		return ErrNotRunning
	}
	_ = signalTerm(p.cmd.Process.Pid) // it may have ended by itself
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.Kill())
	}
}

// Close ends the program and removes its directory.
func (p *Process) Close() error {
	if p.cmd != nil {
		ctx, cancel := context.WithTimeoutCause(context.Background(), closeTimeout, errors.New("it does not end"))
		defer cancel()
		_ = p.Stop(ctx) // else it has been killed
	}
	p.watchdog.dismiss()
	return os.RemoveAll(p.dir)
}

// KillServerIn ends, by SIGKILL, all processes of the server on a data directory
// that another program started, and returns when they are gone.
func KillServerIn(ctx context.Context, data string) error {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return fmt.Errorf("pgtest: postmaster.pid: %q is no process", first)
	}

	_ = signalFreeze(pid) // frozen, it cannot fork while its children are listed
	children, err := childrenOf(pid)
	if err := errors.Join(err, signalKill(pid)); err != nil {
		return err
	}
	for _, child := range children {
		_ = signalKill(child)
	}

	for _, process := range append(children, pid) {
		for alive(process) {
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return fmt.Errorf("pgtest: process %d outlives a SIGKILL: %w", process, err)
			}
		}
	}
	return nil
}
