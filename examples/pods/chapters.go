package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

const (
	podWrites     = 20                              // in the first chapter
	betweenWrites = 4 * bus.DefaultAnnounceInterval // a write by itself: those of a flow are announced together
	sqlWrites     = 10                              // in the second
	terminations  = 6                               // in the third
	betweenKills  = 300 * time.Millisecond          // in the third
)

// chapter is one part of the story.
type chapter struct {
	title   string
	allowed outage
	play    func(ctx context.Context, t *tally) error
}

func (s *story) chapters() []chapter {
	all := []chapter{
		{"a write on one pod", outage{}, s.writeOnOnePod},
		{"a writer in SQL without the library", outage{}, s.writeInSQL},
		{"listening connections killed", outage{}, s.killListeners},
		{"a pod killed after commit", outage{pods: true}, s.killPod},
	}

	anything := outage{pods: true, front: true} // a frozen pod does not respond, nor does one without proof and without database
	if demo.CanFreeze {
		all = append(all, chapter{"a pod frozen and woken", anything, s.freezePod})
	}

	if s.db.noCrash == "" {
		all = append(all,
			chapter{"database crashed, back at once", anything, s.crashBriefly},
			chapter{"database crashed, away for long", anything, s.crashForLong})
	}

	return all
}

func (s *story) writeOnOnePod(ctx context.Context, t *tally) error {
	pods := s.pods.alive()
	writer := pods[0]
	s.say("All pods have %s in their caches. A deposit on %s commits the balance and the invalidation together; then", probeAccount, writer.name)
	s.say("every pod is read without a pause until it serves the new balance.")

	d := delays{}
	for range podWrites {
		if err := s.probe(ctx, t, pods, s.writeOn(writer), d); err != nil {
			return err
		}
		if err := sleep(ctx, betweenWrites); err != nil {
			return err
		}
	}

	s.say("From Commit's return until a pod served the new version, median of %d:", podWrites)
	s.say("%s", d)
	return nil
}

// writeOn returns a write that deposits through a pod.
func (s *story) writeOn(on target) write {
	return func(ctx context.Context) (time.Time, error) {
		r, err := s.deposit(ctx, on, probeAccount)
		if err != nil {
			return time.Time{}, err
		}
		if r.CommittedAt == nil {
			return time.Time{}, fmt.Errorf("pod %s does not say when it committed", on.name)
		}
		return *r.CommittedAt, nil
	}
}

func (s *story) writeInSQL(ctx context.Context, t *tally) error {
	conn, err := pgx.Connect(ctx, s.db.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	if err := s.db.trigger(ctx, true); err != nil {
		return err
	}

	const update = "UPDATE account SET balance = balance - 1 WHERE id = $1 RETURNING version"
	s.say("A plain connection runs: UPDATE account SET balance = balance - 1 WHERE id = '%s'", probeAccount)
	s.say("A trigger on the table writes the event into the log. The sweep, every 100 ms, finds and announces it.")

	d := delays{}
	for range sqlWrites {
		err := s.probe(ctx, t, s.pods.alive(), func(ctx context.Context) (time.Time, error) {
			var version int64
			s.oracle.begin(probeAccount)
			err := conn.QueryRow(ctx, update, probeAccount).Scan(&version)
			now := time.Now()
			if err == nil {
				s.oracle.committed(probeAccount, version, now)
			}

			return now, err
		}, d)
		if err != nil {
			return err
		}
	}

	s.say("From the UPDATE's return until a pod served the new version, median of %d:", sqlWrites)
	s.say("%s", d)
	s.say("The trigger is switched off again: from here on the pods publish for themselves.")
	return s.db.trigger(ctx, false)
}

func (s *story) killListeners(ctx context.Context, t *tally) error {
	stop := s.startWriters(ctx)
	defer stop()

	victim := s.pods.alive()[1]
	before, err := s.client.state(ctx, victim)
	if err != nil {
		return err
	}

	s.say("Every pod writes all the time. The backend on which %s listens is terminated %d times.", victim.name, terminations)

	var longest time.Duration
	for range terminations {
		took, err := s.killListener(ctx, victim)
		if err != nil {
			return err
		}

		longest = max(longest, took)

		if err := sleep(ctx, betweenKills); err != nil {
			return err
		}
	}

	after, err := s.client.state(ctx, victim)
	if err != nil {
		return err
	}

	confirmed := stop()
	s.say("It was listening again, and had read what it missed, %s later at most.", ms(longest))
	s.say("%d writes in that time; %s found %d events in the log that it had not received, and reset %d times.",
		confirmed, victim.name, after.Stats.CaughtUp-before.Stats.CaughtUp, after.Stats.Resets-before.Stats.Resets)

	if confirmed == 0 {
		t.fail("no write was confirmed")
	}

	return nil
}

// killListener terminates the backend on which a pod listens, and returns how long the pod takes to listen again.
func (s *story) killListener(ctx context.Context, victim target) (time.Duration, error) {
	before, err := s.client.state(ctx, victim)
	if err != nil {
		return 0, err
	}
	killed := time.Now()
	if err := s.db.endListener(ctx, victim.name); err != nil {
		return 0, err
	}
	err = s.waitAll(ctx, []target{victim}, readyTimeout, func(_ target, st podState, err error) bool {
		return err == nil && st.Stats.Reconnects > before.Stats.Reconnects && inSync(st)
	})
	return time.Since(killed), err
}

func (s *story) killPod(ctx context.Context, t *tally) error {
	victim, err := s.sweeping(ctx)
	if err != nil {
		return err
	}
	before, err := s.truth(ctx, probeAccount)
	if err != nil {
		return err
	}
	s.say("%s is the pod that sweeps for all. It commits a deposit, and kills itself before it announces it.", victim.name)
	d := delays{}
	err = s.probe(ctx, t, s.pods.alive(victim.name), func(ctx context.Context) (time.Time, error) {
		s.oracle.begin(probeAccount) // there will be no response
		if err := s.client.depositAndDie(ctx, victim, probeAccount); err != nil {
			return time.Time{}, err
		}
		died := time.Now()
		after, err := s.truth(ctx, probeAccount)
		if err == nil && after != before+1 {
			t.fail("the deposit was not committed before the pod died (version %d, then %d): nothing was shown", before, after)
		}
		return died, err
	}, d)
	if err != nil {
		return err
	}
	s.say("Another pod took over the sweep and found the event. From the death until a pod served the new version:")
	s.say("%s", d)

	gone, err := every(ctx, time.Millisecond, readyTimeout, func() bool { return !s.pods.get(victim.name).Alive() })
	if err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("pod %s did not kill itself", victim.name)
	}
	started := time.Now()
	if err := s.pods.start(ctx, victim.name); err != nil {
		return err
	}
	back, _ := s.pods.target(victim.name)
	if err := s.waitLive(ctx, []target{back}); err != nil {
		return err
	}
	s.say("The round-robin address went on without it. Started again, %s was in sync after %s.", victim.name, ms(time.Since(started)))
	return nil
}

// sweeping returns the pod that sweeps for all: its count of sweeps increases.
func (s *story) sweeping(ctx context.Context) (target, error) {
	pods := s.pods.alive()
	sweeps := map[string]int64{}
	var found target
	ok, err := every(ctx, 50*time.Millisecond, readyTimeout, func() bool {
		for _, p := range pods {
			st, err := s.client.state(ctx, p)
			if last, known := sweeps[p.name]; err == nil && known && st.Stats.Sweeps > last {
				found = p
			}
			sweeps[p.name] = st.Stats.Sweeps
		}
		return found.name != ""
	})
	if err == nil && !ok {
		err = fmt.Errorf("no pod sweeps")
	}

	return found, err
}
