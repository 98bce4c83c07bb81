package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readersPerPod = 2
	writePause    = 5 * time.Millisecond
)

// readPause returns the pause of each reader. It bounds the rate of all readers together, however many pods there are.
func (s *story) readPause() time.Duration { return time.Duration(len(s.pods.names)) * time.Millisecond }

// startReaders reads every pod and the round-robin address until stop is called. stop waits for the readers.
func (s *story) startReaders(ctx context.Context, t *tally) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range readersPerPod {
		for _, name := range s.pods.names {
			wg.Go(func() {
				s.readOn(ctx, t, func() (target, bool) { return s.pods.target(name) }, false)
			})
		}
		wg.Go(func() {
			s.readOn(ctx, t, func() (target, bool) { return s.front.target, true }, true)
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (s *story) readOn(ctx context.Context, t *tally, where func() (target, bool), front bool) {
	for sleep(ctx, s.readPause()/2+rand.N(s.readPause())) == nil {
		from, alive := where()
		if !alive {
			continue
		}
		if _, err := s.read(ctx, t, from, accountIDs[rand.IntN(len(accountIDs))]); err != nil && ctx.Err() == nil {
			t.unanswered(front)
		}
	}
}

// read reads an account and has the oracle check the response.
func (s *story) read(ctx context.Context, t *tally, from target, id string) (reply, error) {
	sent := time.Now()
	r, err := s.client.read(ctx, from, id)
	if err != nil {
		return r, err
	}
	v, age := s.oracle.read(id, r.Version, sent, time.Now())
	t.count(r.Pod, r.Cached, v, age)
	return r, nil
}

// deposit writes through a pod and reports it to the oracle. It ignores the end of ctx: an interrupted write has no known outcome.
func (s *story) deposit(ctx context.Context, on target, id string) (reply, error) {
	s.oracle.begin(id)
	r, err := s.client.deposit(context.WithoutCancel(ctx), on, id)
	if err == nil {
		s.oracle.committed(id, r.Version, time.Now())
	}
	return r, err
}

// startWriters writes through every pod until stop is called. stop returns how many writes were confirmed.
func (s *story) startWriters(ctx context.Context) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var confirmed atomic.Int64
	for _, name := range s.pods.names {
		wg.Go(func() {
			for sleep(ctx, writePause*time.Duration(len(s.pods.names))) == nil {
				on, alive := s.pods.target(name)
				if !alive {
					continue
				}
				if _, err := s.deposit(ctx, on, accountIDs[rand.IntN(len(accountIDs))]); err == nil {
					confirmed.Add(1)
				}
			}
		})
	}

	return func() int64 { cancel(); wg.Wait(); return confirmed.Load() }
}
