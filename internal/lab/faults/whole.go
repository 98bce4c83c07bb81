package main

import (
	"errors"
	"sync"
)

// whole is a pod that does all at once on one bus: it has a cache, keeps sessions and takes leases, and checks what it
// reads.
type whole struct {
	Service
	*keeper
	*holder
	checker *checker
}

func newWhole(p *pod) (*whole, error) {
	k, err := newKeeper(p)
	if err != nil {
		return nil, err
	}

	h, err := newHolder(p)
	if err != nil {
		k.close()
		return nil, err
	}

	c, err := newChecker(p)
	if err != nil {
		k.close()
		return nil, err
	}

	return &whole{Service: Service{p}, keeper: k, holder: h, checker: c}, nil
}

// Status answers how the bus stands, the cache, and the sessions.
func (w *whole) Status(in int, out *Status) error {
	var sessions Status
	if err := errors.Join(w.Service.Status(in, out), w.keeper.Status(in, &sessions)); err != nil {
		return err
	}
	out.Touched, out.Conflicts = sessions.Touched, sessions.Conflicts
	return nil
}

// Quiet ends the checker's reads: what is asked in the end is not to wait for them.
func (w *whole) Quiet(_ int, _ *int) error { //nolint:unparam // net/rpc wants an error
	w.checker.quiet.Store(true)
	return nil
}

// run runs all of it until the pod's context ends.
func (w *whole) run() error {
	p := w.checker.pod
	var wg sync.WaitGroup
	var storeErr, lockErr error
	wg.Go(func() { storeErr = w.store.Run(p.ctx) })
	wg.Go(func() { lockErr = w.locker.Run(p.ctx) })
	wg.Go(func() { w.checker.run(p.ctx) })
	busErr := p.run()
	wg.Wait()
	w.close()
	return errors.Join(busErr, storeErr, lockErr)
}
