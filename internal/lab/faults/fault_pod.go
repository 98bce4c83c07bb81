package main

import (
	"context"
	"errors"
	"time"
)

// podFaults are the pods' own.
func podFaults() []fault {
	return []fault{
		{
			name: "publisher-killed", about: "SIGKILL of a pod between its commit and the announcement, three times",
			inject: killPublishers,
		},
		{
			name: "unknown-outcome", about: "the answers of commits are lost",
			plan: plan{proxied: true, paths: []string{"tx", "savepoint", "insql"}}, inject: loseAnswers,
		},
		{
			name: "sigstop-pod", about: "SIGSTOP of a pod for longer than StaleAfter, and on",
			inject: func(ctx context.Context, s *scene) error { return s.stopped(ctx, s.pods()[1]) },
		},
		{
			name: "sigstop-sweeper", about: "the same for the pod that sweeps for all",
			inject: func(ctx context.Context, s *scene) error {
				m, err := s.sweeper(ctx)
				if err != nil {
					return err
				}
				return s.stopped(ctx, m)
			},
		},
	}
}

func killPublishers(ctx context.Context, s *scene) error {
	for range 3 {
		pods := s.pods()
		victim := pods[len(pods)-1]
		for key := range 5 { // a write may find its row taken
			w := Write{Path: "die", Key: hot + key, Version: s.version.Add(1)}
			if err := victim.call(ctx, "Write", w, new(string)); errors.Is(err, errNoAnswer) || !victim.alive() {
				break
			}
		}

		alive := victim.alive()
		victim.kill()
		s.healed()

		if alive {
			return errors.New("the publisher did not die")
		}
		if _, err := s.startPod(); err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// loseAnswers makes the pools' connections deaf again and again: commits reach the server, answers do not come back.
func loseAnswers(ctx context.Context, s *scene) error {
	if err := s.dawdle(ctx, 80*time.Millisecond); err != nil { // most of a write's time is COMMIT
		return err
	}

	var unknown int64
	for i := 0; i < 6 || unknown == 0 && i < 30; i++ { // whether an answer is lost is a matter of luck
		for _, l := range s.links {
			if err := l.poison(poolPath, blackHole(downstream)); err != nil {
				return err
			}
		}

		if err := pause(ctx, 120*time.Millisecond); err != nil {
			return err
		}

		for _, l := range s.links {
			l.heal(ctx)
		}

		if err := pause(ctx, 400*time.Millisecond); err != nil { // idle connections have died, too
			return err
		}

		unknown = 0
		for _, m := range s.pods() {
			status, err := m.status(ctx)
			if err != nil {
				return err
			}
			unknown += status.Stats.Uncertain
		}
	}

	s.healed()

	if s.note("%d commits of unknown outcome", unknown); unknown == 0 {
		return errors.New("no outcome was unknown")
	}

	return nil
}

// stopped stops a pod for the fault's time.
func (s *scene) stopped(ctx context.Context, m *member) error {
	if err := m.freeze(); err != nil {
		return err
	}
	err := s.last(ctx)
	s.healed()
	m.thaw()
	return err
}

// sweeper is the pod that sweeps: the one whose count of marks grows.
func (s *scene) sweeper(ctx context.Context) (*member, error) {
	count := func() (map[*member]int64, error) {
		marks := map[*member]int64{}
		for _, m := range s.pods() {
			status, err := m.status(ctx)
			if err != nil {
				return nil, err
			}
			marks[m] = status.Stats.Marks
		}

		return marks, nil
	}
	before, err := count()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return nil, err
	}

	after, err := count()
	if err != nil {
		return nil, err
	}

	var found *member
	var most int64
	for m, n := range after {
		if n-before[m] > most {
			found, most = m, n-before[m]
		}
	}

	if found == nil {
		return nil, errors.New("nobody sweeps")
	}

	return found, nil
}
