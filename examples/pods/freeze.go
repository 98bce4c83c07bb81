package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// frozenFor is longer than the bound, so that a pod that wakes must not serve from its cache before it has a new proof.
const frozenFor = bound + 300*time.Millisecond

// freezePod stops a pod that has all accounts in its cache, changes all accounts, and reads them from it as it wakes. The
// pod does not know that time has passed until it reads the clock.
func (s *story) freezePod(ctx context.Context, t *tally) error {
	pods := s.pods.alive()
	writer, victim := pods[0], pods[len(pods)-1]
	for _, id := range accountIDs {
		version, err := s.truth(ctx, id)
		if err == nil {
			err = s.warm(ctx, t, victim, id, version)
		}
		if err != nil {
			return err
		}
	}

	s.say("%s is stopped for %s with all accounts in its cache; they are changed on %s at once.", victim.name, ms(frozenFor), writer.name)

	process := s.pods.get(victim.name)
	if err := process.Freeze(); err != nil {
		return err
	}
	defer func() { _ = process.Thaw() }() // a stopped process cannot end in order

	for _, id := range accountIDs {
		if _, err := s.deposit(ctx, writer, id); err != nil {
			return err
		}
	}

	if err := sleep(ctx, frozenFor); err != nil {
		return err
	}

	var wg sync.WaitGroup
	var cached, answered atomic.Int64
	for _, id := range accountIDs {
		wg.Go(func() {
			r, err := s.read(ctx, t, victim, id)
			if err != nil {
				return
			}

			answered.Add(1)

			if r.Cached {
				cached.Add(1)
			}
		})
	}

	waiting := sleep(ctx, 50*time.Millisecond) // the requests wait in its sockets
	woken := time.Now()
	err := errors.Join(waiting, process.Thaw())
	wg.Wait()

	if err != nil {
		return err
	}
	if answered.Load() == 0 {
		t.fail("no read that waited for pod %s got a response", victim.name)
	}
	if err := s.waitLive(ctx, []target{victim}); err != nil {
		return err
	}

	s.say("Of %d reads that waited for it, it served %d from the database and %d from its cache. It was in sync %s after it woke.",
		len(accountIDs), answered.Load()-cached.Load(), cached.Load(), ms(time.Since(woken)))
	return nil
}
