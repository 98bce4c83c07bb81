package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// childVariable marks a process as a pod or as the provider and carries its childConfig: not in its arguments, where
// everybody on the machine could read the secrets.
const childVariable = "PGCOHERENCE_EXAMPLE_LOGIN"

// childConfig is what the parent tells a process: the part that it plays.
type childConfig struct {
	Pod      *podConfig      `json:",omitempty"`
	Provider *providerConfig `json:",omitempty"`
}

// startChild starts a process and returns when it says where it listens.
func startChild(ctx context.Context, name string, cfg childConfig, log io.Writer) (*demo.Process, error) {
	return demo.StartListening(ctx, demo.Child{Name: name, Variable: childVariable, Config: cfg, Log: log})
}

// childMain is the main function of a process that is not the first.
func childMain(config string) int {
	var cfg childConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		fmt.Fprintf(os.Stderr, "login: %s: cannot be read\n", childVariable) // the text holds secrets
		return 2
	}
	ctx, cancel := demo.Leash()
	defer cancel()
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
