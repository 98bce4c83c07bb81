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

// stopTimeout is how long Stop waits for a child to end by itself.
const stopTimeout = 5 * time.Second

// Child configures a child process, which runs this program again.
type Child struct {
	Name     string
	Variable string    // of the environment; it marks the process as a child
	Config   any       // JSON in that variable, and not in the arguments, which every user of the machine can read
	Log      io.Writer // where its standard error goes
}

// Process is a child process. Its methods are safe for concurrent use.
type Process struct {
	Name string
	Addr string // where it listens, if it was started by StartListening

	cmd    *exec.Cmd
	stdin  io.Closer // the child ends when this is closed, see Leash
	last   *lastWords
	exited chan struct{} // closed when it is gone
}

// Start starts a child. The child has to call Leash.
func Start(c Child) (*Process, error) { return start(c, nil) }

// StartListening is Start for a child that prints the address it listens on as its first line. It waits for that line.
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
		return nil, fmt.Errorf("%s ended before it listened: %s", c.Name, p.last)
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

	// The command has no context, because Stop ends it in order.
	p := &Process{Name: c.Name, cmd: exec.Command(self), last: &lastWords{copy: c.Log}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.Variable+"="+string(config))
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.last
	p.cmd.SysProcAttr = attributes()
	p.cmd.WaitDelay = time.Second

	// Other children do not inherit this end of the pipe, so it closes with this process.
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}

	go func() { // ends with the process; Stop waits for it
		_ = p.cmd.Wait() // Failure reports how it ended
		close(p.exited)
	}()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Alive reports whether the process still runs.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Failure returns the last standard error output of a process that ended by itself with an error, and "" otherwise.
func (p *Process) Failure() string {
	if p.Alive() || p.cmd.ProcessState.ExitCode() <= 0 {
		return ""
	}
	return p.last.String()
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.exited
}

// Stop ends the process in order, even if it is frozen, and waits for its end.
func (p *Process) Stop() {
	_ = p.Thaw() // it may be gone
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // on systems without signals, the end of its input ends it
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.Kill()
	}
}

// StopAll stops processes concurrently.
func StopAll(all []*Process) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(p.Stop)
	}
	wg.Wait()
}
