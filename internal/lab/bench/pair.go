package main

import (
	"context"
	"errors"
)

// pair is a server with two databases on it: one for the library and one for
// what it is compared with (see beside).
type pair struct{ ours, raw *server }

// openPair starts the server, with a report that knows what it is. The caller
// closes the pair.
func openPair(ctx context.Context, command string, connections int) (_ *pair, _ *report, err error) {
	ours, err := startServer(ctx, connections)
	if err != nil {
		return nil, nil, err
	}

	p := &pair{ours: ours}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()

	if p.raw, err = ours.beside(ctx); err != nil {
		return nil, nil, err
	}

	r := &report{Command: command, Counts: map[string]any{}}
	if r.Environment, err = ours.environment(ctx); err != nil {
		return nil, nil, err
	}

	return p, r, nil
}

// close drops both databases and stops the server.
func (p *pair) close() error {
	var err error
	if p.raw != nil {
		err = p.raw.drop()
	}
	return errors.Join(err, p.ours.close())
}
