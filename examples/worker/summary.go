package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"
)

// shardRow is what became of one shard.
type shardRow struct {
	shard, jobs int
	by          []int // jobs written by each worker
	owners      int   // leases under which something was written
	refused     int
	twice       int
}

// summary is what became of all.
type summary struct {
	rows  []shardRow
	total shardRow
	proof string // one job that two owners have written; empty: there is none
}

func summarize(ctx context.Context, db *database) (*summary, error) {
	rows, err := db.Pool.Query(ctx, `SELECT j.shard, count(*) FILTER (WHERE tokens <> '{}'),
			ARRAY(SELECT (SELECT count(*) FROM job AS w WHERE w.shard = j.shard AND name = ANY (w.workers)) FROM unnest($1::text[]) AS name),
			(SELECT count(DISTINCT t) FROM job AS o, unnest(o.tokens) AS t WHERE o.shard = j.shard),
			(SELECT count(*) FROM refusal AS r WHERE r.shard = j.shard), count(*) FILTER (WHERE cardinality(tokens) > 1)
		FROM job AS j GROUP BY j.shard ORDER BY j.shard`, names)
	if err != nil {
		return nil, err
	}

	s := &summary{total: shardRow{by: make([]int, len(names))}}
	s.rows, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (row shardRow, err error) {
		err = r.Scan(&row.shard, &row.jobs, &row.by, &row.owners, &row.refused, &row.twice)
		return row, err
	})
	if err != nil {
		return nil, err
	}

	for _, row := range s.rows {
		s.total.jobs += row.jobs
		s.total.owners += row.owners
		s.total.refused += row.refused
		s.total.twice += row.twice
		for i, n := range row.by {
			s.total.by[i] += n
		}
	}

	err = db.Pool.QueryRow(ctx, `SELECT coalesce(max(format('job %s of shard %s was written by %s and by %s', id, shard, workers[1], workers[2])), '')
		FROM job WHERE cardinality(tokens) > 1`).Scan(&s.proof)
	return s, err
}

// print prints the table.
func (s *summary) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "shard\tjobs done\t") // an error comes back from Flush

	for _, name := range names {
		fmt.Fprintf(w, "by %s\t", name)
	}

	fmt.Fprintln(w, "owners so far\trefused by Guard\twritten by two owners\t")

	line := func(title string, row shardRow) {
		fmt.Fprintf(w, "%s\t%d\t", title, row.jobs)
		for _, n := range row.by {
			fmt.Fprintf(w, "%d\t", n)
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t\n", row.owners, row.refused, row.twice)
	}
	for _, row := range s.rows {
		line(fmt.Sprint(row.shard), row)
	}

	line("total", s.total)
	return w.Flush()
}

// verdict says in words what came of a run, and whether that is what has to come of it.
func (s *summary) verdict(unguarded bool) (text string, ok bool) {
	t := s.total
	switch {
	case t.jobs == 0:
		return "no job was done", false
	case unguarded && t.twice == 0:
		return "without Guard no job was written by two owners: the story shows nothing", false
	case unguarded:
		return fmt.Sprintf("Without Guard %d of %d jobs were written by two owners: %s.", t.twice, t.jobs, s.proof), true
	case t.twice > 0:
		return fmt.Sprintf("with Guard %d jobs were written by two owners: %s", t.twice, s.proof), false
	case t.refused == 0:
		return "no write was refused: the story shows nothing", false
	}

	return fmt.Sprintf("With Guard every one of %d jobs was written once; %s refused.", t.jobs, writes(t.refused)), true
}

func writes(n int) string {
	if n == 1 {
		return "one late write was"
	}
	return fmt.Sprintf("%d late writes were", n)
}
