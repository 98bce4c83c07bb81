package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// fleet is the set of all pods. Its methods are safe for concurrent use, except start and stop.
type fleet struct {
	dsn   string
	token string // of the status pages, the same on all pods
	log   io.Writer
	names []string

	mu      sync.Mutex
	members map[string]*demo.Process // the newest process of each name; may be dead
}

// target is an address that requests are sent to.
type target struct {
	name string
	addr string
}

func (t target) url() string { return "http://" + t.addr }

// newFleet returns a fleet of n pods with the names A, B, C …
func newFleet(n int, dsn string, log io.Writer) *fleet {
	f := &fleet{dsn: dsn, token: rand.Text(), log: demo.Locked(log), members: map[string]*demo.Process{}}
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

// start starts a pod, or restarts it on its previous address, and returns when it listens, before it is in sync.
func (f *fleet) start(ctx context.Context, name string) error {
	addr := anyAddr
	if old := f.get(name); old != nil {
		addr = old.Addr
	}

	p, err := demo.StartListening(ctx, demo.Child{
		Name: "pod " + name, Variable: podVariable, Log: f.log,
		Config: podConfig{Name: name, DSN: f.dsn, Addr: addr, Token: f.token},
	})
	if err != nil {
		return fmt.Errorf("start pod %s: %w", name, err)
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	f.members[name] = p
	return nil
}

func (f *fleet) get(name string) *demo.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[name]
}

// target returns a pod's address, and false if the pod is dead.
func (f *fleet) target(name string) (target, bool) {
	p := f.get(name)
	if p == nil || !p.Alive() {
		return target{name: name}, false
	}
	return target{name: name, addr: p.Addr}, true
}

// alive returns the running pods, except those named.
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

// stop stops all pods concurrently.
func (f *fleet) stop() {
	f.mu.Lock()
	all := slices.Collect(maps.Values(f.members))
	f.mu.Unlock()
	demo.StopAll(all)
}
