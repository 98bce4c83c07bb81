package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// childVariable marks a process as a pod or as the provider and carries its childConfig: not in its arguments, where
// everybody on the machine could read the secrets.
const childVariable = "PGCOHERENCE_EXAMPLE_LOGIN"

// childConfig is what the parent tells a process: the part that it plays.
type childConfig struct {
	Pod      *podConfig      `json:",omitempty"`
	Provider *providerConfig `json:",omitempty"`
}

// childMain is the main function of a process that is not the first.
func childMain(config string) int {
	var cfg childConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintf(os.Stderr, "login: %s: cannot be read\n", childVariable) // the text holds secrets
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// The parent holds the other end: when it is gone, in whatever way, so is this process, and with it this goroutine.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err := errors.New("no part to play")
	switch {
	case cfg.Pod != nil:
		err = runPod(ctx, *cfg.Pod)
	case cfg.Provider != nil:
		err = runProvider(ctx, *cfg.Provider)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "login: %v\n", err)
		return 1
	}
	return 0
}

// serve serves until ctx ends, and tells the parent where, in one line. Streams have to end by themselves with ctx.
func serve(ctx context.Context, handler http.Handler, cert *certificate) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", anyAddr)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := newServer(handler)
	failed := make(chan error, 1)
	go func() { failed <- cert.serve(server, listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // somebody's request takes longer than we wait
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// anyAddr is a free port of this machine.
const anyAddr = "127.0.0.1:0"

// stopTimeout is how long a process may take to end by itself.
const stopTimeout = 3 * time.Second

// process is a pod, or the provider, as its parent sees it: a copy of this program.
type process struct {
	name   string
	addr   string
	cmd    *exec.Cmd
	stdin  io.Closer     // its leash: it ends when this does
	exited chan struct{} // closed when it is gone
}

// startProcess starts one and returns when it says where it listens.
func startProcess(ctx context.Context, name string, cfg childConfig, log io.Writer) (*process, error) {
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
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = first, last
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = time.Second
	// Our end of the pipe is not inherited by the others, so it closes with this process.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	go func() { // ends with the process; stop waits for it
		_ = cmd.Wait() // how it ended does not matter here
		close(p.exited)
	}()
	select {
	case p.addr = <-first.line:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended at once: %s", name, last)
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

// stopAll ends processes at the same time.
func stopAll(all []*process) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(p.stop)
	}
	wg.Wait()
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

// lastWords remembers the end of what a process wrote to standard error, for when it dies too early.
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

// lockedWriter keeps the lines of several processes apart.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
