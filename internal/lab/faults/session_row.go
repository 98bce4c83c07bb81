package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// sessionPlan is what a row about sessions needs.
type sessionPlan struct {
	size  int           // of the stores' memory; default plenty, with a tier scarce
	fresh int           // one in so many questions is put to the database; default askFresh
	every time.Duration // between two clients; default clientEvery
	look  time.Duration // between two looks at the database; default lookEvery
	most  int           // so many tokens are asked about in the end; default all
	// What is done besides, each often or not at all. All rows do a little of the first.
	plant, forget, breach bool
}

const (
	plenty = 1000
	scarce = 40 // with a tier: so that it is asked without an invalidation, too
)

// runSessions runs a row about sessions.
func (f fault) runSessions(ctx context.Context, o options) (r result) {
	r.name, r.gate = f.name, &gateResult{}
	e, p := newEar(), f.plan
	tune := p.tune
	size := f.session.size
	switch {
	case size > 0:
	case o.tier || p.tier != noTier:
		size = scarce
	default:
		size = plenty
	}

	p.tune = func(i int, c *podConfig) {
		c.Conns, c.Heard = sessionConns, e
		c.Session = &sessionConfig{Size: size}
		if tune != nil {
			tune(i, c)
		}
	}
	before := p.before
	p.before = func(ctx context.Context, s *scene) error {
		if before != nil {
			if err := before(ctx, s); err != nil {
				return err
			}
		}
		return makeSessionTables(ctx, s)
	}
	r.on(ctx, p, o, func(s *scene) {
		s.keeping = s.startSessions(ctx, *f.session, e)
		r.err = f.bringSessions(ctx, s, &r)
		s.keeping.stop()
		s.keeping.judge(&r)

		r.notes = append(r.notes, s.notes...)
		if what := r.gate.unchecked(); what != "" {
			r.err = errors.Join(r.err, fmt.Errorf("never checked: %s", what))
		}
	})

	return r
}

// bringSessions brings the fault about, waits until every pod lets somebody in again, and has all pods answer for all.
func (f fault) bringSessions(ctx context.Context, s *scene, r *result) error {
	// Confirmations go by positions only after a pod lease.
	if err := pause(ctx, s.timing.Lease+200*time.Millisecond); err != nil {
		return err
	}
	if err := s.tierBefore(ctx); err != nil {
		return err
	}
	if err := f.inject(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}

	s.mu.Lock()
	if s.healedAt.IsZero() {
		s.healedAt = time.Now()
	}

	from := s.healedAt
	s.mu.Unlock()
	again, err := s.keeping.letInAgain(ctx, from)
	r.live = again

	if err := errors.Join(err, s.tierAfter(ctx), pause(ctx, s.timing.StaleAfter)); err != nil {
		return err
	}
	if err := s.awaitConflicts(ctx); err != nil {
		return err
	}

	err = s.keeping.last(ctx)

	if sum, statsErr := s.cacheStats(ctx); statsErr == nil {
		s.note("%v", sum)
	}

	touched, conflicts := s.writes(ctx)
	s.note("%d uses written, %d conflicts", touched, conflicts)

	if touched == 0 || conflicts == 0 {
		err = errors.Join(err, errors.New("no use was written, or no write met a conflict"))
	}

	return err
}

// writes returns how many uses the pods have written, and how many conflicts their writes have met.
func (s *scene) writes(ctx context.Context) (touched, conflicts int64) {
	for _, m := range s.pods() {
		if status, err := m.status(ctx); err == nil {
			touched += status.Touched
			conflicts += status.Conflicts
		}
	}
	return touched, conflicts
}

// awaitConflicts lets the load go on until some writes have met: on a busy machine there may be few of them.
func (s *scene) awaitConflicts(ctx context.Context) error {
	for end := time.Now().Add(livePatience); time.Now().Before(end); {
		if touched, conflicts := s.writes(ctx); touched > 0 && conflicts > 0 {
			return nil
		}
		s.keeping.contend()
		if err := pause(ctx, liveEvery); err != nil {
			return err
		}
	}
	return nil // the check at the end says so
}

func makeSessionTables(ctx context.Context, s *scene) error {
	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`CREATE TABLE account (name text PRIMARY KEY, password bigint NOT NULL);
		INSERT INTO account SELECT 'user-' || i, 1 FROM generate_series(0, %d) AS i`, sessionUsers-1))
	return err
}

// judge makes the result, with what can only be said in the end.
func (l *sessionLoad) judge(r *result) {
	l.gate.finish()
	r.gate.tally, r.proofs = l.gate.result()
	found, looked, size, notifications := l.ear.leaks()
	r.gate.tally.leaks = count{int64(len(found)), looked}
	metrics := l.ear.metrics()
	if size == 0 || notifications == 0 || metrics == 0 {
		r.gate.tally.leaks.of = 0 // nothing was heard
	}

	for _, before := range found[:min(len(found), 2)] {
		r.proofs = append(r.proofs, fmt.Sprintf("a secret behind %q", strings.ReplaceAll(before, "\n", " ")))
	}

	n := func(what int) int64 { return l.done[what].Load() }
	r.notes = append(r.notes,
		fmt.Sprintf("%d sessions made, %d saves, %d rotations, %d ended, %d passwords changed; %d outcomes unknown; longest after an end %v",
			n(didCreate), n(didSave), n(didRotate), n(didEnd), n(didChange), l.unknown.Load(), r.gate.tally.worst.Round(time.Millisecond)),
		fmt.Sprintf("searched %d bytes of logs and metrics (%d) and %d notifications for %d secrets", size, metrics, notifications, looked))
}
