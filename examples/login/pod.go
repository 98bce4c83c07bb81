package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

// visitor is what a session holds beside its user.
type visitor struct {
	FullName string `json:"full_name"`
	Notice   string `json:"notice,omitempty"` // for the next page
}

// pod is what a program of many copies sets up: a bus with a pool, a store of sessions, and the sessions over HTTP. It
// keeps nothing else about anybody, so any pod can serve any request.
type pod struct {
	name     string
	bus      *bus.Postgres
	store    *sessionstore.Store[visitor]
	sessions *httpsession.Manager[visitor]
	log      *slog.Logger

	stop    context.CancelFunc
	running sync.WaitGroup
}

// openPod returns when the pod is in sync.
func openPod(ctx context.Context, name, dsn string, log *slog.Logger) (*pod, error) {
	b, err := bus.Open(ctx, dsn, &bus.Config{Name: name, Logger: log}, &bus.OpenConfig{MaxConns: 6})
	if err != nil {
		return nil, err
	}
	p := &pod{name: name, bus: b, log: log, stop: func() {}}

	// With Encrypt a dump of the database gives away neither tokens nor what sessions hold.
	p.store, err = sessionstore.New(b, b.Pool(), &sessionstore.Config[visitor]{Encrypt: true, Logger: log})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.sessions, err = httpsession.New(p.store, &httpsession.Config{
		Insecure: true, // plain HTTP on localhost, and nowhere else
		Error:    p.showProblem, Logger: log,
	})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.running.Go(func() {
		if err := p.store.Run(running); err != nil {
			log.ErrorContext(running, "sessions", slog.Any("error", err))
		}
	})
	<-p.store.Ready()
	return p, nil
}

func (p *pod) close() error {
	p.stop()
	p.running.Wait()
	var err error
	if p.store != nil {
		err = p.store.Close()
	}
	return errors.Join(err, p.bus.Close())
}
