package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long a child may take to end by itself.
const stopTimeout = 5 * time.Second

// Child is what a parent starts: a copy of this program.
type Child struct {
	Name     string
	Variable string    // of the environment; it marks the process as a child
	Config   any       // as JSON in that variable: not in the arguments, which everybody on the machine can read
	Log      io.Writer // where its standard error goes
}

// Process is a child as its parent sees it. Its methods are safe for concurrent use.
type Process struct {
	Name string
	Addr string // where it listens, if it was started by StartListening

	cmd    *exec.Cmd
	stdin  io.Closer // the child's leash: it ends when this does
	last   *lastWords
	exited chan struct{} // closed when it is gone
}

// Start starts a child, which is to call Leash.
func Start(c Child) (*Process, error) { return start(c, nil) }

// StartListening is Start for a child whose first line of output is the address where it listens, and returns then.
func StartListening(ctx context.Context, c Child) (*Process, error) {
	first := &firstLine{line: make(chan string, 1)}
	p, err := start(c, first)
	if err != nil {
		return nil, err
	}
	select {
	case p.Addr = <-first.line:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended at once: %s", c.Name, p.last)
	case <-ctx.Done():
		p.Stop()
		return nil, ctx.Err()
	}
}

func start(c Child, stdout io.Writer) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(c.Config)
	if err != nil {
		return nil, err
	}
	// The command has no context: Stop ends it in order.
	p := &Process{Name: c.Name, cmd: exec.Command(self), last: &lastWords{copy: c.Log}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.Variable+"="+string(config))
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.last
	p.cmd.SysProcAttr = attributes()
	p.cmd.WaitDelay = time.Second
	// Our end of the pipe is not inherited by other children, so it closes with this process.
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process; Stop waits for it
		_ = p.cmd.Wait() // how it ended does not matter here
		close(p.exited)
	}()
	return p, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Alive says whether the process is not gone yet.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Failure is the end of what a process wrote to standard error that ended by itself and badly; otherwise empty.
func (p *Process) Failure() string {
	if p.Alive() || p.cmd.ProcessState.ExitCode() <= 0 {
		return ""
	}
	return p.last.String()
}

// Kill ends the process at once, as kill -9 does, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// Stop ends the process in order, frozen or not, and returns when it is gone.
func (p *Process) Stop() {
	_ = p.Thaw() // it may be gone
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // where there is no such signal, the end of its input does
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.Kill()
	}
}

// StopAll ends processes at the same time.
func StopAll(all []*Process) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(p.Stop)
	}
	wg.Wait()
}
