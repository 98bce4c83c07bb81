package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// These are the schedules of controls that are no row of their own.

// slowCommits makes COMMIT take a while before anybody sees what it commits.
func slowCommits(ctx context.Context, s *scene) error {
	if err := s.dawdle(ctx, 60*time.Millisecond); err != nil {
		return err
	}
	return s.last(ctx)
}

// dawdle makes every COMMIT of a write take so long.
func (s *scene) dawdle(ctx context.Context, d time.Duration) error {
	return s.exec(ctx, fmt.Sprintf(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(%f); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER dawdle AFTER UPDATE ON item DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION dawdle()`, d.Seconds()))
}

// comeAndGo starts a third pod, which sweeps at once, and ends it, again and again.
func comeAndGo(ctx context.Context, s *scene) error {
	for range 4 {
		m, err := s.startPod()
		if err != nil {
			return err
		}
		if err := s.awaitLive(ctx); err != nil {
			return err
		}
		if err := pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}

		m.stop()

		if err := pause(ctx, 150*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// lagging makes one subscriber hang for a moment, again and again: its pod stays fresh, and is behind.
func lagging(ctx context.Context, s *scene) error {
	m := s.pods()[1]
	for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
		if err := m.call(ctx, "Suffer", Trouble{Block: 400 * time.Millisecond}, new(int)); err != nil {
			return err
		}
		if err := pause(ctx, 700*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// forgotten: a pod is cut off, and at that moment the log begins anew without a trace of it, as after a failover to a
// standby that has not got the pod's row. The others are live again before the pod has lost its trust.
func forgotten(ctx context.Context, s *scene) error {
	l := s.links[len(s.links)-1]
	for _, way := range allPaths {
		if err := l.poison(way, blackHole(upstream), blackHole(downstream)); err != nil {
			return err
		}
	}
	err := s.exec(ctx, "BEGIN; TRUNCATE pgcoherence.event; DELETE FROM pgcoherence.pod; COMMIT")
	err = errors.Join(err, s.last(ctx))
	s.healed()
	l.heal(context.WithoutCancel(ctx))
	return err
}

// resetWhileLoading has all pods load, and then changes what they have read. The event is lost with the log, and the
// reset is all that they hear.
func resetWhileLoading(ctx context.Context, s *scene) error {
	first := s.keys - s.reserved
	var keys []string
	for key := first; key < s.keys; key++ {
		keys = append(keys, makeKeys(key, 0)[0])
	}

	for range 5 {
		if err := s.exec(ctx, "SELECT pgcoherence.invalidate($1, VARIADIC $2::text[])", topic, keys); err != nil {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}

		version := s.version.Add(1)
		if err := s.exec(ctx, fmt.Sprintf("BEGIN; UPDATE item SET version = %d WHERE key >= %d; TRUNCATE pgcoherence.event; COMMIT",
			version, first)); err != nil {
			return err
		}

		now := time.Now()
		for key := first; key < s.keys; key++ {
			s.oracle.committed(key, version, now)
		}

		if err := pause(ctx, s.timing.StaleAfter+600*time.Millisecond); err != nil {
			return err
		}
	}

	return nil
}
