package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// perUser is how many sessions a user has, among the rows.
const perUser = 10

// fillSessions makes rows as logins do, without their round trips: number i has the token benchToken(i). The bare table
// has the same data under the same key, and nothing else.
func fillSessions(ctx context.Context, p *sessionPod, plan sessionPlan) error {
	err := fillBare(ctx, p, []string{
		fmt.Sprintf(`INSERT INTO pgcoherence.session_user (user_id) SELECT 'row ' || i FROM generate_series(0, %d) AS i`, plan.Rows/perUser),
		fmt.Sprintf(`INSERT INTO pgcoherence.session (key, proof, id, user_id, last_write, data, idle, authenticated_at, expires_at)
			SELECT substr(h, 1, 16), substr(h, 17), gen_random_uuid(), 'row ' || i / %d, gen_random_uuid(),
				'\x0101' || convert_to('{"User":1,"Role":"reader","Theme":"dark"}', 'UTF8'), '1 day', now(), now() + interval '2 days'
			FROM (SELECT i, sha256(sha256(convert_to('s' || i, 'UTF8'))) AS h FROM generate_series(0, %d) AS i) AS s`, perUser, plan.Rows-1),
	})
	if err != nil {
		return err
	}

	for _, statement := range []string{
		`CREATE TABLE bare_session (key bytea NOT NULL, data bytea NOT NULL)`,
		fmt.Sprintf(`INSERT INTO bare_session SELECT substr(sha256(sha256(convert_to('s' || i, 'UTF8'))), 1, 16),
			'\x0101' || convert_to('{"User":1,"Role":"reader","Theme":"dark"}', 'UTF8') FROM generate_series(0, %d) AS i`, plan.Rows-1),
		`ALTER TABLE bare_session ADD PRIMARY KEY (key)`, `VACUUM ANALYZE bare_session`, `CHECKPOINT`,
	} {
		if _, err := p.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// measureSessionRows reads sessions that are in nobody's memory, and lists of users, from a full table.
func measureSessionRows(ctx context.Context, r *report, plan sessionPlan, p *sessionPod) error {
	numbers := rand.Perm(plan.Rows)[:plan.Cold]
	const atOnce = 50 // of one kind in a row
	var cold, bare []float64
	for from := 0; from < len(numbers); from += atOnce {
		some := numbers[from:min(from+atOnce, len(numbers))]
		kinds := []func() error{
			func() error {
				begin := time.Now()

				for _, i := range some {
					if _, err := p.Get(ctx, benchToken(i)); err != nil {
						return err
					}
				}

				cold = append(cold, time.Since(begin).Seconds()*1e6/float64(len(some)))
				return nil
			},
			func() error {
				begin := time.Now()

				for _, i := range some {
					key, data := keyOf(i), []byte(nil)
					if err := p.pool.QueryRow(ctx, `SELECT data FROM bare_session WHERE key = $1`, key).Scan(&data); err != nil {
						return err
					}
				}

				bare = append(bare, time.Since(begin).Seconds()*1e6/float64(len(some)))
				return nil
			},
		}
		if from/atOnce%2 == 1 {
			kinds[0], kinds[1] = kinds[1], kinds[0]
		}

		for _, kind := range kinds {
			if err := kind(); err != nil {
				return err
			}
		}
	}

	lists := make([]float64, plan.Lists)
	for i := range lists {
		begin := time.Now()
		got, err := p.List(ctx, fmt.Sprint("row ", rand.N(plan.Rows/perUser)))
		if err != nil {
			return err
		}

		lists[i] = time.Since(begin).Seconds() * 1e3

		if len(got) != perUser {
			return fmt.Errorf("a list of %d sessions, want %d", len(got), perUser)
		}
	}

	ratio, err := ratios(cold, bare)
	if err != nil {
		return err
	}

	r.row()
	r.row(fmt.Sprintf("%d rows", plan.Rows), "samples", "µs")
	r.row("Get of what no memory holds", plan.Cold, newFigure("session.cold", "µs", cold).summary)
	r.row("bare select by primary key", plan.Cold, newFigure("session.bare", "µs", bare).summary)
	r.row("List of a user with 10 sessions, ms", plan.Lists, number(percentile(lists, 50)), number(percentile(lists, 99)))
	r.add(newFigure("session.cold_us", "µs", cold))
	r.add(newFigure("session.bare_us", "µs", bare))
	r.add(newFigure("session.cold_ratio", "ratio", ratio))
	r.result("session.cold_ratio", median(ratio))
	r.result("session.list_ms", percentile(lists, 50))
	return nil
}

// measureSessionSweep deletes expired rows while others write to sessions, to those being deleted as well.
func measureSessionSweep(ctx context.Context, r *report, plan sessionPlan, p *sessionPod) error {
	_, err := p.pool.Exec(ctx, `UPDATE pgcoherence.session SET expires_at = now() - interval '2 hours'
		WHERE key IN (SELECT substr(sha256(sha256(convert_to('s' || i, 'UTF8'))), 1, 16) FROM generate_series(0, $1::int - 1) AS i)`, plan.Expired)
	if err != nil {
		return err
	}
	if _, err := p.pool.Exec(ctx, `VACUUM ANALYZE pgcoherence.session`); err != nil {
		return err
	}

	var over atomic.Bool
	var longest, slowest, quietest atomic.Int64 // µs
	kinds := map[string]int64{}                 // of locks waited for, the longest wait of each in µs; one goroutine's
	raise := func(to *atomic.Int64, us int64) {
		for at := to.Load(); us > at && !to.CompareAndSwap(at, us); at = to.Load() {
		}
	}
	const writers = 4

	write := func(worst *atomic.Int64, until func() bool) func(int) error {
		return func(writer int) error {
			for n := 0; !until(); n++ {
				i := plan.Expired + rand.N(plan.Rows-plan.Expired)
				begin := time.Now()
				var err error
				if writer == 0 {
					i = rand.N(plan.Expired)
					_, err = p.Revoke(ctx, benchToken(i))
				} else {
					_, err = p.Update(ctx, benchToken(i), func(v *visit) error { v.User++; return nil })
				}

				if err != nil && !errors.Is(err, sessionstore.ErrNoSession) {
					return err
				}

				raise(worst, time.Since(begin).Microseconds())
			}
			return nil
		}
	}

	begin := time.Now()
	if err := together(writers, write(&quietest, func() bool { return time.Since(begin) > 2*time.Second })); err != nil {
		return err
	}

	var took time.Duration
	err = together(writers+2, func(worker int) error {
		switch worker {
		case writers: // the sweep
			defer over.Store(true)
			begin := time.Now()
			err := p.Sweep(ctx)
			took = time.Since(begin)
			return err
		case writers + 1: // who waits
			for !over.Load() {
				rows, err := p.pool.Query(ctx, `SELECT locktype, (extract(epoch FROM clock_timestamp() - waitstart) * 1000000)::bigint
					FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL`)
				if err != nil {
					return err
				}

				var kind string
				var us int64
				if _, err := pgx.ForEachRow(rows, []any{&kind, &us}, func() error {
					kinds[kind] = max(kinds[kind], us)
					raise(&longest, us)
					return nil
				}); err != nil {
					return err
				}

				time.Sleep(2 * time.Millisecond)
			}
			return nil
		}
		return write(&slowest, over.Load)(worker)
	})
	if err != nil {
		return err
	}
	if err := p.Sweep(ctx); err != nil { // it skips what a writer holds; the next one takes that
		return err
	}

	var left int
	if err := p.pool.QueryRow(ctx, `SELECT count(*) FROM pgcoherence.session WHERE expires_at < now() - interval '1 hour'`).Scan(&left); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d rows are left", left)
	}

	r.Counts["sweep"] = fmt.Sprintf("%d rows in %v, beside 4 writers; slowest write %.1f ms, without a sweep %.1f ms; longest wait for a lock %.1f ms; µs by kind %v",
		plan.Expired, took.Round(time.Millisecond), float64(slowest.Load())/1e3, float64(quietest.Load())/1e3, float64(longest.Load())/1e3, kinds)
	r.result("session.sweep_wait_ms", float64(longest.Load())/1e3)
	r.result("session.sweep_write_ms", float64(slowest.Load())/1e3)
	return nil
}
