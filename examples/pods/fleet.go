package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
)

// fleet is all pods. Its methods are safe for concurrent use; start and stop are called by one goroutine.
type fleet struct {
	dsn   string
	token string // of the status pages, the same on all pods
	log   io.Writer
	names []string

	mu      sync.Mutex
	members map[string]*process // the newest of each name; may be dead
}

// target is a pod that can be spoken to.
type target struct {
	name string
	addr string
}

func (t target) url() string { return "http://" + t.addr }

// newFleet names the pods A, B, C …
func newFleet(n int, dsn string, log io.Writer) *fleet {
	f := &fleet{dsn: dsn, token: rand.Text(), log: &lockedWriter{to: log}, members: map[string]*process{}}
	for i := range n {
		f.names = append(f.names, string(rune('A'+i)))
	}
	return f
}

func (f *fleet) startAll(ctx context.Context) error {
	for _, name := range f.names {
		if err := f.start(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// start starts a pod, or starts it again on the address it had.
func (f *fleet) start(ctx context.Context, name string) error {
	addr := anyAddr
	if old := f.get(name); old != nil {
		addr = old.addr
	}
	p, err := startProcess(ctx, podConfig{Name: name, DSN: f.dsn, Addr: addr, Token: f.token}, f.log)
	if err != nil {
		return fmt.Errorf("start pod %s: %w", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[name] = p
	return nil
}

func (f *fleet) get(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[name]
}

// target is where a pod is; false if it is dead.
func (f *fleet) target(name string) (target, bool) {
	p := f.get(name)
	if p == nil || !p.alive() {
		return target{name: name}, false
	}
	return target{name: name, addr: p.addr}, true
}

// alive are the pods that run, but for those named.
func (f *fleet) alive(except ...string) []target {
	var all []target
next:
	for _, name := range f.names {
		for _, other := range except {
			if name == other {
				continue next
			}
		}
		if t, ok := f.target(name); ok {
			all = append(all, t)
		}
	}
	return all
}

// stop ends all pods, at the same time.
func (f *fleet) stop() {
	var wg sync.WaitGroup
	for _, name := range f.names {
		if p := f.get(name); p != nil {
			wg.Go(p.stop)
		}
	}
	wg.Wait()
}

// lockedWriter keeps the lines of several pods apart.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
