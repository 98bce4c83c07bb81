package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// catchupPlan is how much the command catchup measures.
type catchupPlan struct {
	Logged  int // events in the log
	Missed  int // of which are new
	Samples int

	Outages int           // of a pod
	Outage  time.Duration // each
	Cached  int           // keys, before
	Changed int           // of which change meanwhile
}

func catchupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "catchup",
		Short: "reading what was missed from a log of a million events, and loading again what changed in an outage",
		Long: `First the difference is read from a log of a million events, with and without the bus' planner settings. Then the bus
of a pod with many cached keys is cut off while another pod changes some of them, and the loads are counted until every key
was read again: ours reads the log and drops what changed; otter stands for all that drop everything when they reconnect.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := catchupPlan{Logged: 1_000_000, Missed: 100, Samples: 200, Outages: 3, Outage: 10 * time.Second, Cached: 100_000, Changed: 100}
			if o.short {
				plan.Samples, plan.Outages, plan.Outage = 50, 1, 4*time.Second
			}

			r, err := measureCatchup(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("catchup: %w", err)
			}

			return o.keep(r)
		},
	}
}

// reader is a way to have the difference read.
type reader struct {
	name     string
	settings string // of the session
	first    []float64
	again    []float64
	plans    string
}

func measureCatchup(ctx context.Context, plan catchupPlan) (_ *report, err error) {
	statement, err := differenceSQL(bus.DefaultSchema)
	if err != nil {
		return nil, err
	}

	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	r := &report{Command: "catchup", Counts: map[string]any{}, Parameters: map[string]any{
		"logged": plan.Logged, "missed": plan.Missed, "samples": plan.Samples,
		"outages": plan.Outages, "outage": plan.Outage.String(), "cached": plan.Cached, "changed": plan.Changed,
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}

	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer disconnect(conn)

	d, err := fillLog(ctx, conn, plan)
	if err != nil {
		return nil, err
	}

	d.sql = statement
	readers := []*reader{{name: "bus", settings: sessionSettings}, {name: "default"}}
	for sample := range plan.Samples {
		for i := range readers {
			if err := readers[(i+sample)%len(readers)].sample(ctx, s, d); err != nil {
				return nil, err
			}
		}
	}

	r.row("settings", "ms on a new connection", "ms again", "reads the log by")

	for _, one := range readers {
		first := newFigure("catchup."+one.name+".first_ms", "ms", one.first)
		again := newFigure("catchup."+one.name+".again_ms", "ms", one.again)
		r.add(first)
		r.add(again)
		r.row(one.name, first.summary, again.summary, one.plans)
	}

	r.result("catchup.log_1m_ms", median(readers[0].first))
	r.result("catchup.log_1m_again_ms", median(readers[0].again))
	r.result("catchup.log_1m_default_ms", median(readers[1].first))

	// A database of its own: a log of a million events is no matter here.
	other, err := s.beside(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, other.drop()) }()

	return r, measureOutage(ctx, other, plan, r)
}

// sample reads twice on a connection of its own. The first time is what a pod
// does when it comes back: the server has to prepare, and to look up the tables
// for the new session. A sweep is more like the second.
func (r *reader) sample(ctx context.Context, s *server, d difference) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	if r.settings != "" {
		if _, err := conn.PgConn().Exec(ctx, r.settings).ReadAll(); err != nil {
			return err
		}
	}

	for _, took := range []*[]float64{&r.first, &r.again} {
		ms, err := d.read(ctx, conn)
		if err != nil {
			return err
		}
		*took = append(*took, ms)
	}

	if r.plans == "" {
		r.plans, err = d.explain(ctx, conn)
	}

	return err
}

// read answers the milliseconds until the last row was there.
func (d difference) read(ctx context.Context, conn *pgx.Conn) (float64, error) {
	begin := time.Now()
	rows, err := conn.Query(ctx, d.sql, d.xmax, d.inProgress, bus.DefaultMaxCatchUp+1, readBytes)
	if err != nil {
		return 0, fmt.Errorf("read difference: %w", err)
	}

	n := 0
	for rows.Next() {
		n++
	}

	took := time.Since(begin)

	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("read difference: %w", err)
	}
	if n != d.missed+1 { // the first row is the head
		return 0, fmt.Errorf("read difference: %d rows for %d events", n-1, d.missed)
	}

	return took.Seconds() * 1e3, nil
}
