package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// stopTimeout is how long a pod may take to end by itself.
const stopTimeout = 3 * time.Second

// member is a pod as its parent sees it: a process, or, where it makes no difference, a part of this one.
type member struct {
	cfg    podConfig
	cmd    *exec.Cmd // nil for a part of this process
	client *rpc.Client
	gone   chan struct{} // closed when it has ended
	words  lastWords
	writes atomic.Int64 // under way

	mu   sync.Mutex
	dead bool // ended on purpose: no readings, no checks
}

// startProcess starts a pod as a copy of this program. It is not yet in sync when this returns.
func startProcess(cfg podConfig) (*member, error) {
	program := cfg.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}

	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}

	m := &member{cfg: cfg, gone: make(chan struct{})}
	m.words.verbose, m.words.heard = cfg.Verbose, cfg.Heard
	m.cmd = exec.Command(program) // without a context: stop ends it in order
	m.cmd.Env = append(os.Environ(), podVariable+"="+string(text))
	m.cmd.Stderr = &m.words
	m.cmd.SysProcAttr = podAttributes()
	m.cmd.WaitDelay = time.Second

	// Our ends of the pipes are not inherited by the other pods, so they close with this process.
	in, err := m.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}

	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}

	m.client = rpc.NewClient(&pipes{out, in})
	go func() { // ends with the process; stop waits for it
		_ = m.cmd.Wait() // how it ended is told by its last words
		close(m.gone)
	}()
	return m, nil
}

// startInside starts a pod as a part of this process, for rows that need many and stop none.
func startInside(cfg podConfig) *member {
	m := &member{cfg: cfg, gone: make(chan struct{})}
	ours, theirs := net.Pipe()
	m.client = rpc.NewClient(ours)
	go func() { // ends when stop closes the pipe
		defer close(m.gone)
		if err := serve(context.Background(), cfg, theirs); err != nil {
			_, _ = io.WriteString(&m.words, err.Error())
		}
	}()
	return m
}

var errNoAnswer = errors.New("pod does not answer")

// call asks the pod, and waits for the answer at most until ctx ends.
func (m *member) call(ctx context.Context, method string, in, out any) error {
	c := m.client.Go("Pod."+method, in, out, make(chan *rpc.Call, 1))
	select {
	case <-c.Done:
		return c.Error
	case <-m.gone:
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// status is how the pod stands; an error if it does not say so within a second.
func (m *member) status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s := new(Status) // not reused: a late answer may still write to it
	err := m.call(ctx, "Status", 0, s)
	return s, err
}

func (m *member) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// kill ends the process at once.
func (m *member) kill() {
	m.mu.Lock()
	m.dead = true
	m.mu.Unlock()
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
	}
	_ = m.client.Close()
	<-m.gone
}

// stop ends the pod and returns when it is gone.
func (m *member) stop() {
	m.mu.Lock()
	m.dead = true
	m.mu.Unlock()
	m.thaw()
	_ = m.client.Close() // the pod's leash
	t := time.NewTimer(stopTimeout)
	defer t.Stop()

	select {
	case <-m.gone:
	case <-t.C:
		if m.cmd != nil {
			_ = m.cmd.Process.Kill()
			<-m.gone
		}
	}
}

// pipes are a process' standard input and output.
type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p *pipes) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p *pipes) Close() error                { return p.in.Close() }

// lastWords remembers the end of what a pod wrote to standard error.
type lastWords struct {
	verbose bool
	heard   io.Writer // takes all of it; nil: nobody

	mu  sync.Mutex
	buf []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	l.buf = l.buf[max(0, len(l.buf)-2000):]
	if l.heard != nil {
		_, _ = l.heard.Write(b)
	}
	if l.verbose {
		_, _ = os.Stderr.Write(b)
	}
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.buf))
}

// alive reports whether the process still runs; one that was just killed may take a moment to go.
func (m *member) alive() bool {
	select {
	case <-m.gone:
		return false
	case <-time.After(200 * time.Millisecond):
		return true
	}
}
