package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long a worker may take to end by itself.
const stopTimeout = 5 * time.Second

// process is a worker as its parent sees it: a copy of this program.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer     // the worker's leash: it ends when this does
	last   *lastWords    // of its log
	exited chan struct{} // closed when it is gone
}

func startProcess(cfg workerConfig, log io.Writer) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	p := &process{name: cfg.Name, cmd: exec.Command(self), last: &lastWords{copy: log}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	p.cmd.Stderr = p.last
	p.cmd.SysProcAttr = workerAttributes()
	p.cmd.WaitDelay = time.Second
	// Our end of the pipe is not inherited by the other workers, so it closes with this process.
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker %s: %w", cfg.Name, err)
	}
	go func() { // ends with the process; stop waits for it
		_ = p.cmd.Wait() // how it ended does not matter here
		close(p.exited)
	}()
	return p, nil
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the process in order and returns when it is gone.
func (p *process) stop() {
	_ = p.thaw() // it may be gone
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.kill()
	}
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// lastWords remembers the end of what a worker wrote to standard error, for when it dies too early.
type lastWords struct {
	copy io.Writer

	mu  sync.Mutex
	buf []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.buf = append(l.buf, b...)
	l.buf = l.buf[max(0, len(l.buf)-2000):]
	l.mu.Unlock()
	return l.copy.Write(b)
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.buf))
}
