package main

import (
	"bytes"
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

// stopTimeout is how long a pod may take to end by itself.
const stopTimeout = 3 * time.Second

// process is a pod as its parent sees it: a copy of this program.
type process struct {
	addr   string
	cmd    *exec.Cmd
	stdin  io.Closer     // the pod's leash: it ends when this does
	exited chan struct{} // closed when it is gone
}

// startProcess starts a pod and returns when it says where it listens. It is not yet in sync then.
func startProcess(ctx context.Context, cfg podConfig, log io.Writer) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	first := &firstLine{line: make(chan string, 1)}
	last := &lastWords{copy: log}
	cmd := exec.Command(self) // without a context: stop ends it in order
	cmd.Env = append(os.Environ(), podVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = first, last
	cmd.SysProcAttr = podAttributes()
	cmd.WaitDelay = time.Second
	// Our end of the pipe is not inherited by the other pods, so it closes with this process.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	go func() { // ends with the process; stop waits for it
		_ = cmd.Wait() // how it ended does not matter here
		close(p.exited)
	}()
	select {
	case p.addr = <-first.line:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("pod %s ended at once: %s", cfg.Name, last)
	case <-ctx.Done():
		p.stop()
		return nil, ctx.Err()
	}
}

// stop ends the process and returns when it is gone.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // where there is no such signal, the end of its input does
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.exited:
		return
	case <-t.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// firstLine passes on the first line written to it and swallows the rest. One goroutine writes.
type firstLine struct {
	line chan string
	buf  []byte
	done bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if f.done {
		return len(b), nil
	}
	f.buf = append(f.buf, b...)
	if line, _, ok := bytes.Cut(f.buf, []byte("\n")); ok {
		f.line <- string(line)
		f.done, f.buf = true, nil
	}
	return len(b), nil
}

// lastWords remembers the end of what a pod wrote to standard error, for when it dies too early.
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
