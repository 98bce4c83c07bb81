package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// sweepChunk is how many rows are made by one statement.
	sweepChunk = 500_000
	// dayOfMinutes: a session that is in use is looked at once a day at least, so in each minute this part of them.
	dayOfMinutes = 24 * 60
	sweepRounds  = 5
)

// measureSessionSweepCost times what the sweep has to do each minute in a large table of sessions that are in use: to look
// at those that are due, and to count.
func measureSessionSweepCost(ctx context.Context, r *report, plan sessionPlan, p *sessionPod) error {
	for from := plan.Rows; from < plan.SweepRows; from += sweepChunk {
		_, err := p.pool.Exec(ctx, fmt.Sprintf(`
			INSERT INTO pgcoherence.session (key, proof, id, user_id, last_write, data, idle, created_at, authenticated_at, expires_at, sweep_at)
			SELECT substr(h, 1, 16), substr(h, 17), gen_random_uuid(), 'row ' || i %% %d, gen_random_uuid(),
				'\x0101' || convert_to('{"User":1,"Role":"reader","Theme":"dark"}', 'UTF8'), '1 day', now() - interval '3 days', now(),
				now() + interval '30 days', now() + random() * interval '1 day' + interval '1 hour'
			FROM (SELECT i, sha256(convert_to('more' || i, 'UTF8')) AS h FROM generate_series(%d, %d) AS i) AS s`,
			max(plan.Rows/perUser, 1), from, min(from+sweepChunk, plan.SweepRows)-1))
		if err != nil {
			return err
		}
	}
	for _, statement := range []string{
		`UPDATE pgcoherence.session SET sweep_at = now() + random() * interval '1 day' + interval '1 hour' WHERE sweep_at < now() + interval '1 hour'`,
		`VACUUM ANALYZE pgcoherence.session`, `CHECKPOINT`,
	} {
		if _, err := p.pool.Exec(ctx, statement); err != nil {
			return err
		}
	}

	due := max(plan.SweepRows/dayOfMinutes, 1)
	var shares []float64
	for range sweepRounds {
		tag, err := p.pool.Exec(ctx, `UPDATE pgcoherence.session SET sweep_at = now() - interval '1 second'
			WHERE key IN (SELECT key FROM pgcoherence.session ORDER BY sweep_at LIMIT $1)`, due)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != int64(due) {
			return fmt.Errorf("%d rows are due, want %d", tag.RowsAffected(), due)
		}
		begin := time.Now()
		if err := p.Sweep(ctx); err != nil {
			return err
		}
		shares = append(shares, time.Since(begin).Seconds()/time.Minute.Seconds()*100)
	}
	slices.Sort(shares)
	r.Counts["rows that the sweep keeps an eye on"] = plan.SweepRows
	r.row("sweep, of a core", "rows", plan.SweepRows, "due each minute", due, "percent", fmt.Sprintf("%.2f", shares[len(shares)/2]))
	r.result("session.sweep_core_percent."+rowsLabel(plan.SweepRows), shares[len(shares)/2])
	return nil
}

// rowsLabel is 10m for ten million.
func rowsLabel(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dm", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}
