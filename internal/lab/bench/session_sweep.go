package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

const (
	// sweepChunk is how many rows are made by one statement.
	sweepChunk  = 500_000
	sweepRounds = 5
	// sessionDays is how long the sessions last, of which each minute as many end as begin.
	sessionDays = 30
)

// measureSessionSweepCost times what the sweep has to do each minute in a table of sessions that last thirty days and are in
// use: in a tenth of the rows, and in all of them.
func measureSessionSweepCost(ctx context.Context, r *report, plan sessionPlan, p *sessionPod) error {
	if _, err := p.pool.Exec(ctx, `TRUNCATE pgcoherence.session`); err != nil {
		return err
	}
	r.row()
	r.row("rows", "looked up in a minute", "deleted in a minute", "% of a processor")

	filled := 0
	for _, rows := range []int{max(plan.SweepRows/10, 1), plan.SweepRows} {
		begin := time.Now()
		if err := fillSweepRows(ctx, p, filled, rows); err != nil {
			return err
		}
		filled = rows
		r.Counts[fmt.Sprintf("%d rows for the sweep, made in", rows)] = time.Since(begin).Round(time.Second).String()

		share, err := sweepShare(ctx, r, p, rows)
		if err != nil {
			return err
		}
		r.result("session.sweep_core_percent."+rowsLabel(rows), share)
	}
	return nil
}

// fillSweepRows adds rows to those there are. Without the indexes, which are made again afterwards, it takes a fraction of
// the time.
func fillSweepRows(ctx context.Context, p *sessionPod, from, to int) error {
	statements := []string{fmt.Sprintf(`INSERT INTO pgcoherence.session_user (user_id, gen)
		SELECT 'row ' || i, 7 FROM generate_series(%d, %d) AS i ON CONFLICT (user_id) DO UPDATE SET gen = 7`, from/perUser, to/perUser)}
	for ; from < to; from += sweepChunk {
		statements = append(statements, fmt.Sprintf(`
			INSERT INTO pgcoherence.session (key, proof, id, user_id, gen, last_write, data, idle, created_at, authenticated_at, last_seen, expires_at, sweep_at)
			SELECT substr(h, 1, 16), substr(h, 17), gen_random_uuid(), 'row ' || i / %d, 7, gen_random_uuid(),
				'\x0101' || convert_to('{"User":1,"Role":"reader","Theme":"dark"}', 'UTF8'), '1 day', made, made,
				greatest(made, now() - random() * interval '20 hours'), made + interval '%d days',
				CASE WHEN made > now() - interval '1 day' THEN made + interval '25 hours' END
			FROM (SELECT i, sha256(convert_to('more' || i, 'UTF8')) AS h, now() - random() * interval '%d days' AS made
				FROM generate_series(%d, %d) AS i) AS s`,
			perUser, sessionDays, sessionDays, from, min(from+sweepChunk, to)-1))
	}
	return fillBare(ctx, p, statements)
}

// fillBare runs statements while the table of sessions has no indexes, which are made again afterwards.
func fillBare(ctx context.Context, p *sessionPod, fill []string) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	found, err := conn.Query(ctx, `SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index AS i
		WHERE i.indrelid = 'pgcoherence.session'::regclass AND NOT i.indisprimary`)
	if err != nil {
		return err
	}
	var drop, create []string
	var name, definition string
	if _, err := pgx.ForEachRow(found, []any{&name, &definition}, func() error {
		drop, create = append(drop, `DROP INDEX `+name), append(create, definition)
		return nil
	}); err != nil {
		return err
	}

	statements := append([]string{`SET maintenance_work_mem = '512MB'`, `ALTER TABLE pgcoherence.session DROP CONSTRAINT session_pkey`}, drop...)
	statements = append(statements, fill...)
	statements = append(statements, `ALTER TABLE pgcoherence.session ADD PRIMARY KEY (key)`)
	statements = append(statements, create...)
	statements = append(statements, `VACUUM ANALYZE pgcoherence.session`, `VACUUM ANALYZE pgcoherence.session_user`, `CHECKPOINT`, `RESET maintenance_work_mem`)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(err, fmt.Errorf("%.60s", strings.TrimSpace(statement)))
		}
	}
	return nil
}

// sweepShare is what the sweeps of a minute take of a processor, if all of their time is one's.
func sweepShare(ctx context.Context, r *report, p *sessionPod, rows int) (float64, error) {
	ends := max(rows/(sessionDays*24*60), 1)
	var shares []float64
	for range sweepRounds {
		for _, statement := range []string{
			// So many have begun a day ago, and are looked up for the first time; so many have reached their deadline.
			`UPDATE pgcoherence.session SET sweep_at = now() - interval '1 second'
				WHERE key IN (SELECT key FROM pgcoherence.session WHERE expires_at > now() + interval '29 days' LIMIT $1)`,
			`UPDATE pgcoherence.session SET expires_at = now() - interval '61 minutes'
				WHERE key IN (SELECT key FROM pgcoherence.session WHERE expires_at > now() ORDER BY expires_at LIMIT $1)`,
		} {
			tag, err := p.pool.Exec(ctx, statement, ends)
			if err != nil {
				return 0, err
			}
			if tag.RowsAffected() != int64(ends) {
				return 0, fmt.Errorf("%d rows are due, want %d", tag.RowsAffected(), ends)
			}
		}

		before := p.Stats().Swept["expired"]
		begin := time.Now()
		if err := p.Adapter(hook.Token{}).SweepTurn(ctx, time.Minute); err != nil {
			return 0, err
		}
		shares = append(shares, time.Since(begin).Seconds()/time.Minute.Seconds()*100)
		if n := p.Stats().Swept["expired"] - before; n < int64(ends) {
			return 0, fmt.Errorf("%d rows were deleted, want %d", n, ends)
		}
	}
	slices.Sort(shares)
	share := shares[len(shares)/2]
	r.row(rows, ends, ends, fmt.Sprintf("%.3f (%.3f–%.3f)", share, shares[0], shares[len(shares)-1]))
	return share, nil
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
