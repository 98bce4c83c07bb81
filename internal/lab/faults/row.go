package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// result is what came of one row.
type result struct {
	name   string
	tally  tally
	lost   int
	live   time.Duration // from the end of the fault until all pods were Live for good
	notes  []string
	proofs []string
	err    error // what else is wrong
	took   time.Duration
	lock   *lockResult // of a row about leases; else nil
	gate   *gateResult // of a row about sessions; else nil
}

// violations is how often a promise was broken.
func (r result) violations() int64 {
	switch {
	case r.lock != nil:
		return r.lock.violations()
	case r.gate != nil:
		return r.gate.violations()
	}
	return r.tally.beyond + r.tally.falseConfirms + int64(r.lost)
}

// checked is how much was: a row that checked nothing has not passed.
func (r result) checked() int64 {
	switch {
	case r.lock != nil:
		return int64(r.lock.checked)
	case r.gate != nil:
		return r.gate.tally.answers
	}
	return r.tally.reads
}

func (r result) passed() bool { return r.err == nil && r.violations() == 0 && r.checked() > 0 }

// on plays on a scene of its own, and notes how that ended and how long all of it took.
func (r *result) on(ctx context.Context, p plan, o options, play func(*scene)) {
	begun := time.Now()
	s, err := newScene(ctx, p, o)
	if err != nil {
		r.err = fmt.Errorf("start: %w", err)
		return
	}
	defer func() {
		if err := s.close(); err != nil && r.err == nil {
			r.err = err
		}
		r.took = time.Since(begun)
	}()
	play(s)
}

// run runs one row.
func (f fault) run(ctx context.Context, o options) (r result) {
	switch {
	case f.lock != nil:
		return f.runLock(ctx, o)
	case f.session != nil:
		return f.runSessions(ctx, o)
	}

	r.name = f.name
	r.on(ctx, f.plan, o, func(s *scene) {
		s.start(ctx)

		// Confirmations go by positions only after a pod lease.
		if r.err = pause(ctx, s.timing.Lease+200*time.Millisecond); r.err != nil {
			return
		}
		if r.err = s.tierBefore(ctx); r.err != nil {
			return
		}
		if err := f.inject(ctx, s); err != nil {
			r.err = fmt.Errorf("%s: %w", f.name, err)
		}

		live, err := s.liveAgain(ctx)
		r.live = live
		r.err = errors.Join(r.err, err, s.tierAfter(ctx))
		s.load.hush()
		defer s.load.loud()

		lost, what := s.lost(ctx)
		r.lost = lost
		s.load.cancel()
		r.tally, r.proofs = s.oracle.result()
		r.proofs = append(r.proofs, what...)
		r.notes = append(s.notes, fmt.Sprintf("%d writes, %d failed, %d confirmed, %d not", s.load.written.Load(),
			s.load.failed.Load(), s.load.confirmed.Load(), s.load.unsure.Load()))
		if sum, err := s.cacheStats(ctx); err == nil {
			r.notes = append(r.notes, sum.String())
		}
	})

	return r
}

const (
	liveEvery  = 5 * time.Millisecond
	liveStreak = 700 * time.Millisecond
)

// liveAgain waits until all pods have been Live for a while, and answers how long after the end of the fault that began.
func (s *scene) liveAgain(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	if s.healedAt.IsZero() {
		s.healedAt = time.Now()
	}

	from := s.healedAt
	s.mu.Unlock()

	for {
		bad, looked := s.load.liveness()
		since := from
		if bad.After(from) {
			since = bad
		}

		switch {
		case looked.Sub(since) > liveStreak:
			return since.Sub(from), nil
		case time.Since(from) > livePatience:
			return 0, fmt.Errorf("not %v again: %s", s.state, s.standing(ctx))
		}

		if err := pause(ctx, liveEvery); err != nil {
			return 0, err
		}
	}
}

// watch notes when a pod was last seen not to be where it belongs.
func (l *load) watch() {
	for pause(l.ctx, liveEvery) == nil {
		begun, good := time.Now(), true
		for _, m := range l.s.pods() {
			status, err := m.status(l.ctx)
			good = good && err == nil && status.State == l.s.state && status.Fresh
		}
		l.mu.Lock()
		if !good {
			l.bad = time.Now()
		}
		l.looked = begun
		l.mu.Unlock()
	}
}

// liveness is when a pod was last seen not to be where it belongs, and when the last look began.
func (l *load) liveness() (bad, looked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad, l.looked
}

// standing is how all pods stand, for people.
func (s *scene) standing(ctx context.Context) string {
	var all []string
	for _, m := range s.pods() {
		status, err := m.status(ctx)
		all = append(all, fmt.Sprintf("%s %v (%v) %+v %s", m.cfg.Name, status.State, err, status.Stats, &m.words))
	}
	return strings.Join(all, "; ")
}

const settlePatience = 4 * time.Second

// lost counts, when nobody writes any more, keys that a cache does not have as the database does, and events that
// reached no subscriber and were not followed by a Reset.
func (s *scene) lost(ctx context.Context) (lost int, what []string) {
	versions, events, err := s.truthNow(ctx)
	if err != nil {
		return 1, []string{"the database cannot be read: " + err.Error()}
	}

	for end := time.Now().Add(s.timing.StaleAfter + cmp.Or(s.patience, settlePatience)); ; {
		lost, what = 0, nil
		for _, m := range s.pods() {
			n, some := m.lost(ctx, versions, events)
			lost += n
			what = append(what, some...)
		}

		if lost == 0 || time.Now().After(end) || pause(ctx, 20*time.Millisecond) != nil {
			return lost, what[:min(len(what), maxProofs)]
		}
	}
}

// truthNow is what the database holds: versions by key, and when each event was written.
func (s *scene) truthNow(ctx context.Context) (map[int]int64, map[int64]time.Time, error) {
	conn, err := pgx.Connect(ctx, s.truthDSN())
	if err != nil {
		return nil, nil, err
	}
	defer disconnect(conn)

	// Transactions of writers that are gone may still end.
	deadline := time.Now().Add(writeTimeout)
	for busy := true; busy && time.Now().Before(deadline); {
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'item'::regclass
			AND mode = 'RowExclusiveLock' AND virtualtransaction NOT LIKE '-1/%')`).Scan(&busy); err != nil {
			return nil, nil, err
		}
	}

	versions, err := readVersions(ctx, conn)
	if err != nil {
		return nil, nil, err
	}

	rows, err := conn.Query(ctx, "SELECT event, at FROM done")
	if err != nil {
		return nil, nil, err
	}

	events := map[int64]time.Time{}
	var event int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&event, &at}, func() error {
		events[event] = at
		return nil
	})
	return versions, events, err
}

// lost is the same for one pod.
func (m *member) lost(ctx context.Context, versions map[int]int64, events map[int64]time.Time) (n int, what []string) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()

	view, missing := new(View), new(Missing)
	all := make([]int64, 0, len(events))
	for event := range events {
		all = append(all, event)
	}

	slices.Sort(all)

	if err := errors.Join(m.call(ctx, "Held", 0, view), m.call(ctx, "Missing", all, missing)); err != nil {
		return 1, []string{fmt.Sprintf("%s: %v: %s", m.cfg.Name, err, &m.words)}
	}

	for key, version := range view.Versions {
		if version != versions[key] {
			n++
			what = append(what, fmt.Sprintf("%s holds version %d of key %d, the database %d", m.cfg.Name, version, key, versions[key]))
		}
	}

	for _, event := range missing.Events {
		if !missing.Cleared.After(events[event]) {
			n++
			what = append(what, fmt.Sprintf("%s never heard of event %d, written at %s, last reset at %s", m.cfg.Name, event,
				events[event].Format(clock), missing.Cleared.Format(clock)))
		}
	}

	return n, what
}

const clock = "15:04:05.000"
