package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// namesFault is a failover after which transaction ids are given again, while a pod holds announcements of those that
// had them before.
func namesFault() fault {
	return fault{
		name: "promote-held", about: "failover, xids given again, announcements held back",
		plan: plan{proxied: true, keys: 72, reserved: 24, tune: func(_ int, c *podConfig) {
			// The sweep comes late enough for a false announcement to be heard before it.
			c.Timing.Sweep, c.Timing.Probe = 400*time.Millisecond, 850*time.Millisecond
			c.Backoff = 200 * time.Millisecond
		}},
		inject: givenAgain,
	}
}

const (
	// heldNames is how many events the pod that is cut off publishes before the failover.
	heldNames = 800
	// sameNames is how many of their names are given again before that pod comes back.
	sameNames = 30
	// maxAgain bounds how many transactions the new primary is given.
	maxAgain = 5000
)

// givenAgain cuts the control connection of a pod, which publishes on: its announcements wait. The standby that takes over
// has none of these transactions and gives their ids to those of a process that only publishes, so that only the sweep
// can announce them. Then the pod comes back.
func givenAgain(ctx context.Context, s *scene) error {
	standby, err := s.server.Standby(ctx)
	if err != nil {
		return err
	}
	s.finally(standby.Close)
	if err := errors.Join(s.awaitLive(ctx), pause(ctx, 2*s.timing.Lease)); err != nil { // the copy took a restart
		return err
	}

	held, link := s.pods()[0], s.links[0]
	s.load.hush()
	defer s.load.loud()
	if err := errors.Join(cutOff(ctx, standby), link.poison(controlPath, blackHole(upstream), blackHole(downstream))); err != nil {
		return err
	}
	names, err := s.writeHeld(ctx, held)
	if err != nil {
		return err
	}

	if err := errors.Join(s.server.Crash(ctx), standby.Promote(ctx)); err != nil {
		return err
	}
	host, err := hostOf(standby.DSN(""))
	if err != nil {
		return err
	}
	lead := func() error {
		for i, l := range s.links {
			for _, way := range allPaths {
				if i == 0 && way == controlPath {
					continue
				}
				if err := l.lead(way, host); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := s.rewind(ctx, standby.DSN(database), lead); err != nil {
		return err
	}
	if err := s.awaitFresh(ctx, s.pods()[1:]); err != nil {
		return err
	}

	back := func() error {
		link.heal(context.WithoutCancel(ctx))
		return link.lead(controlPath, host)
	}
	if err := s.writeAgain(ctx, standby.DSN(database), held, names, back); err != nil {
		return err
	}
	s.healed()
	return nil
}

// writeHeld writes through a pod that cannot announce. It returns the ids of these transactions.
func (s *scene) writeHeld(ctx context.Context, m *member) (map[uint64]bool, error) {
	names := make(map[uint64]bool, heldNames)
	for i := range heldNames {
		xid, err := s.writeKey(ctx, m, s.keys-s.reserved+i%(s.reserved/2))
		if err != nil {
			return nil, err
		}
		names[xid] = true
	}

	status, err := m.status(ctx)
	if err == nil && status.Stats.Pending < heldNames/2 {
		err = fmt.Errorf("%s holds only %d announcements back", m.cfg.Name, status.Stats.Pending)
	}
	return names, err
}

// writeAgain writes through a process that only publishes, and has the pod that was cut off come back when some of the
// names have been given again. It returns when that pod is in sync.
func (s *scene) writeAgain(ctx context.Context, dsn string, held *member, names map[uint64]bool, back func() error) error {
	publisher, err := s.startPublisher(dsn)
	if err != nil {
		return err
	}

	same, after := 0, 0
	for i := range maxAgain {
		xid, err := s.writeKey(ctx, publisher, s.keys-s.reserved/2+i%(s.reserved/2))
		if err != nil {
			return err
		}
		if names[xid] {
			same++
		}
		if after == 0 && same < sameNames {
			continue
		}

		if after == 0 {
			if err := back(); err != nil {
				return err
			}
		}

		after++
		status, err := held.status(ctx)
		if err == nil && status.Fresh && status.State == bus.Live {
			s.note("%d of %d names given again, %d announcements dropped", same, len(names), status.Stats.Dropped)
			return nil
		}

		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}

	return fmt.Errorf("%d of %d names given again, and %s is not live: %s", same, len(names), held.cfg.Name, s.standing(ctx))
}

// writeKey writes a key through a pod and returns the transaction's id.
func (s *scene) writeKey(ctx context.Context, m *member, key int) (uint64, error) {
	w, receipt := Write{Path: "tx", Key: key, Version: s.version.Add(1)}, new(string)
	if err := m.call(ctx, "Write", w, receipt); err != nil {
		return 0, err
	}
	s.oracle.committed(w.Key, w.Version, time.Now())
	_, number, _ := strings.Cut(*receipt, ":")
	xid, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("receipt %q: %w", *receipt, err)
	}
	return xid, nil
}

// startPublisher starts a process of the application that only publishes: its bus does not run.
func (s *scene) startPublisher(dsn string) (*member, error) {
	m, err := startProcess(podConfig{
		Name: "publisher", DSN: dsn, Keys: s.keys, Timing: s.timing, Conns: 2, Direct: true, Verbose: s.options.verbose,
		Mode: pgx.QueryExecModeCacheStatement, OnlyPublishes: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start publisher: %w", err)
	}
	s.finally(func() error { m.stop(); return nil })
	return m, nil
}
