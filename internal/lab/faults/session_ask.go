package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// ask asks a pod about tokens, all the while. A pod that does not answer is asked on: the moment in which it goes on is
// the one that counts.
func (l *sessionLoad) ask(m *member) {
	l.wg.Go(func() {
		var unanswered atomic.Int64
		for l.ctx.Err() == nil && !m.isDead() {
			if pause(l.ctx, askEvery) != nil {
				return
			}

			tickets := l.sample()
			if len(tickets) == 0 || unanswered.Load() >= maxUnanswered {
				continue
			}

			unanswered.Add(1)
			l.wg.Go(func() {
				defer unanswered.Add(-1)
				_ = l.check(l.ctx, m, tickets, rand.IntN(l.fresh) == 0) // a pod that is gone
			})
		}
	})
}

// sample are some tickets, good and bad.
func (l *sessionLoad) sample() []*ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	var some []*ticket
	for _, from := range [][]*ticket{l.alive, l.gone} {
		for _, i := range rand.Perm(len(from))[:min(len(from), askTokens/2)] {
			some = append(some, from[i])
		}
	}
	return some
}

// check has a pod's answers judged.
func (l *sessionLoad) check(ctx context.Context, m *member, tickets []*ticket, fresh bool) error {
	q := Question{Fresh: fresh}
	for _, t := range tickets {
		q.Tokens = append(q.Tokens, t.token)
	}

	answers, sent := new([]Answer), time.Now()
	if err := m.call(ctx, "Check", q, answers); err != nil {
		return err
	}

	for i, a := range *answers {
		l.gate.answered(m.cfg.Name, tickets[i], a, fresh, sent)
		if a.Outcome == Done {
			l.mu.Lock()
			l.answered[m.cfg.Name] = sent
			l.mu.Unlock()
		}
	}

	return nil
}

// letInAgain waits until every pod has let somebody in who asked after a time, and is where it belongs.
func (l *sessionLoad) letInAgain(ctx context.Context, from time.Time) (time.Duration, error) {
	if err := l.s.awaitLive(ctx); err != nil {
		return 0, err
	}
	for {
		last := ""
		for _, m := range l.s.pods() {
			l.mu.Lock()
			if !l.answered[m.cfg.Name].After(from) {
				last = m.cfg.Name
			}
			l.mu.Unlock()
		}

		if last == "" {
			return time.Since(from), nil
		}
		if time.Since(from) > cmp.Or(l.s.patience, livePatience) {
			return 0, fmt.Errorf("%s lets nobody in any more", last)
		}
		if err := pause(ctx, liveEvery); err != nil {
			return 0, err
		}
	}
}

// last has all pods answer for all tokens when nobody writes any more and the bound is over, from memory and from the
// database.
func (l *sessionLoad) last(ctx context.Context) error {
	l.quiet.Store(true)

	for l.working.Load() > 0 { // what is under way ends, or is given up
		if err := pause(ctx, liveEvery); err != nil {
			return err
		}
	}

	if err := pause(ctx, l.s.timing.StaleAfter+200*time.Millisecond); err != nil {
		return err
	}

	l.gate.mu.Lock()

	var all []*ticket
	for _, t := range l.gate.tickets {
		all = append(all, t)
	}

	l.gate.mu.Unlock()

	if l.plan.most > 0 && len(all) > l.plan.most {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:l.plan.most]
	}

	const atOnce = 50
	for _, m := range l.s.pods() {
		for i := 0; i < len(all); i += atOnce {
			some := all[i:min(i+atOnce, len(all))]
			for _, fresh := range []bool{false, true} {
				if err := l.check(ctx, m, some, fresh); err != nil {
					return fmt.Errorf("%s: %w", m.cfg.Name, err)
				}
			}
		}
	}

	return nil
}

// look is the oracle's own: what the database says of all sessions and passwords, so that what was done although its
// answer was lost is known, and what comes back to life is seen.
func (l *sessionLoad) look() {
	for pause(l.ctx, lookEvery) == nil {
		ctx, cancel := context.WithTimeout(l.ctx, time.Second)
		conn, err := pgx.Connect(ctx, l.s.truthDSN())
		cancel()
		if err != nil {
			continue
		}
		for pause(l.ctx, cmp.Or(l.plan.look, lookEvery)) == nil && l.lookOnce(conn) == nil {
		}
		disconnect(conn)
	}
}

func (l *sessionLoad) lookOnce(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(l.ctx, time.Second)
	defer cancel()

	at := span{call: time.Now()}
	rows, err := conn.Query(ctx, `SELECT s.id::text, s.revoked_at IS NOT NULL OR s.user_id IS NOT NULL AND s.gen IS DISTINCT FROM u.gen, 0
		FROM pgcoherence.session AS s LEFT JOIN pgcoherence.session_user AS u USING (user_id)
		UNION ALL SELECT name, false, password FROM account`)
	if err != nil {
		return err
	}

	type found struct {
		name     string
		over     bool
		password int64
	}

	var all []found
	var f found
	if _, err := pgx.ForEachRow(rows, []any{&f.name, &f.over, &f.password}, func() error {
		all = append(all, f)
		return nil
	}); err != nil {
		return err
	}

	at.answer = time.Now()
	for _, f := range all {
		if f.password > 0 {
			l.gate.changed(f.name, f.password, at.answer)
		} else {
			l.gate.looked(f.name, f.over, at)
		}
	}

	return nil
}
