package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// podLine is a pod as the command shows it.
type podLine struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Version    string  `json:"version,omitempty"`
	State      string  `json:"state"` // as of the last beat; lost or left for one that is gone
	BeatAge    float64 `json:"beat_age_seconds"`
	UpSeconds  float64 `json:"up_seconds"`
	Registered bool    `json:"registered"`
}

// lostAfter is how old the last beat of a pod may be before it counts as lost.
const lostAfter = 5 * time.Second

func (a *app) podsCommand() *cobra.Command {
	var departed time.Duration
	cmd := &cobra.Command{
		Use:   "pods",
		Short: "List the pods, and those that have gone lately",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd)
			defer cancel()

			if departed < 0 || departed > time.Hour {
				return usageError("pods: --departed: %v is not between 0 and 1h", departed)
			}

			return a.withBus(ctx, func(_ *pgxpool.Pool, b *bus.Postgres) error {
				lines, err := podLines(ctx, b, departed)
				if err != nil {
					return err
				}
				return a.printPods(lines)
			})
		},
	}
	cmd.Flags().DurationVar(&departed, "departed", 10*time.Minute, "show pods that have gone within this time, at most an hour")
	return cmd
}

func podLines(ctx context.Context, b *bus.Postgres, departed time.Duration) ([]podLine, error) {
	cluster, err := b.Cluster(ctx, departed)
	if err != nil {
		return nil, err
	}

	lines := []podLine{}
	line := func(p bus.Pod, state string, registered bool) {
		lines = append(lines, podLine{p.ID, p.Name, p.Version, state, p.Age.Seconds(), p.Up.Seconds(), registered})
	}
	for _, p := range cluster.Pods {
		state := p.State
		if p.Age > lostAfter {
			state = "lost"
		}
		line(p, state, true)
	}

	for _, d := range cluster.Departed {
		state := "left"
		if d.Lost {
			state = "lost"
		}
		line(d.Pod, state, false)
	}

	return lines, nil
}

func (a *app) printPods(lines []podLine) error {
	if a.json {
		return a.printJSON(lines)
	}

	if len(lines) == 0 {
		a.printf("no pods\n")
		return nil
	}

	var rows [][]string
	for _, l := range lines {
		rows = append(rows, []string{
			printable(l.Name), printable(l.Version), printable(l.State), span(seconds(l.BeatAge)), span(seconds(l.UpSeconds)), l.ID,
		})
	}

	return a.table("NAME\tVERSION\tSTATE\tLAST BEAT\tUP\tID", rows)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// overview is the answer to "how is it?", from the database alone.
type overview struct {
	Pods          []podLine `json:"pods"`
	LogRows       int64     `json:"log_rows"` // estimated
	OldestSeconds *float64  `json:"oldest_event_seconds"`
	QueueUsage    float64   `json:"queue_usage_ratio"`
	PodLease      float64   `json:"pod_lease_seconds"`
	Leases        *int64    `json:"leases_held,omitempty"`
	Waiters       *int64    `json:"lease_waiters,omitempty"`
	Server        string    `json:"server_version"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Sum up pods, log, notification queue and leases",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd)
			defer cancel()

			return a.withBus(ctx, func(pool *pgxpool.Pool, b *bus.Postgres) error {
				o, err := a.overview(ctx, pool, b)
				if err != nil {
					return err
				}
				return a.printOverview(o)
			})
		},
	}
}

func (a *app) overview(ctx context.Context, pool *pgxpool.Pool, b *bus.Postgres) (o overview, err error) {
	if o.Pods, err = podLines(ctx, b, 2*time.Minute); err != nil {
		return o, err
	}
	schema := pgx.Identifier{a.schema}.Sanitize()
	if err := pool.QueryRow(ctx, `SELECT (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = '`+schema+`.event'::regclass),
		(SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM `+schema+`.event WHERE isfinite(at) ORDER BY xid LIMIT 1),
		pg_notification_queue_usage(), (SELECT extract(epoch FROM pod_lease)::float8 FROM `+schema+`.setting), current_setting('server_version')`).
		Scan(&o.LogRows, &o.OldestSeconds, &o.QueueUsage, &o.PodLease, &o.Server); err != nil {
		return o, err
	}

	var hasLeases bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", schema+".lease").Scan(&hasLeases); err != nil || !hasLeases {
		return o, err
	}
	err = pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM `+schema+`.lease WHERE expires_at > clock_timestamp()), (SELECT count(*) FROM `+schema+`.lease_waiter)`).
		Scan(&o.Leases, &o.Waiters)
	return o, err
}

func (a *app) printOverview(o overview) error {
	if a.json {
		return a.printJSON(o)
	}

	running, lost := 0, 0
	for _, p := range o.Pods {
		switch {
		case p.State == "lost":
			lost++
		case p.Registered:
			running++
		}
	}

	c := green
	if lost > 0 {
		c = red
	}

	a.printf("pods         %s\n", a.paint(c, plural(running, "running", "running")+", "+plural(lost, "lost", "lost")))

	oldest := "empty"
	if o.OldestSeconds != nil {
		oldest = "about " + plural(int(o.LogRows), "event", "events") + ", the oldest " + span(seconds(*o.OldestSeconds)) + " old"
	}

	a.printf("log          %s\n", oldest)
	a.printf("queue        %.2f %% full\n", o.QueueUsage*100)
	a.printf("pod lease    %s\n", span(seconds(o.PodLease)))

	if o.Leases != nil {
		a.printf("leases       %d held, %d waiting\n", *o.Leases, *o.Waiters)
	}

	a.printf("server       Postgres %s\n", o.Server)
	return nil
}
