package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
)

// eventLine is an event as the log holds it.
type eventLine struct {
	At     *time.Time `json:"at"` // by the database's clock; null for a time that is none
	Topic  string     `json:"topic"`
	Keys   []string   `json:"keys"`
	All    bool       `json:"all"`
	XID    string     `json:"xid"`
	Origin string     `json:"origin,omitempty"` // name of the pod, where known
}

func (a *app) tailCommand() *cobra.Command {
	var t tail
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show invalidations as they commit",
		Long: `Show invalidations as they commit, whoever writes them: pods, triggers, psql, other languages.

It reads the log and is no pod: nothing waits for it. An event is shown once its transaction is visible, within --interval.
--topic and --key take patterns as a shell does: 'user*'.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range append(slices.Clone(t.topics), t.keys...) {
				if _, err := path.Match(p, ""); err != nil {
					return usageError("tail: %q is no pattern", p)
				}
			}
			if t.interval < 10*time.Millisecond {
				return usageError("tail: --interval: %v is less than 10ms", t.interval)
			}
			return a.withPool(cmd.Context(), func(pool *pgxpool.Pool) error {
				t.app, t.pool = a, pool
				err := t.follow(cmd.Context())
				if errors.Is(err, context.Canceled) {
					return nil // the user pressed ^C, which is how it ends
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&t.topics, "topic", nil, "only these topics")
	flags.StringSliceVar(&t.keys, "key", nil, "only events with one of these keys, or of the whole topic")
	flags.DurationVar(&t.interval, "interval", 250*time.Millisecond, "how often to look")
	flags.DurationVar(&t.since, "since", 0, "begin with what the log still holds of this time")
	flags.IntVarP(&t.limit, "count", "n", 0, "end after so many events")
	return cmd
}

type tail struct {
	app          *app
	pool         *pgxpool.Pool
	topics, keys []string
	interval     time.Duration
	since        time.Duration
	limit        int

	shown    int
	snapshot string // everything that it sees has been shown
}

// follow reads what became visible since the last look, again and again. A connection that is lost is made again by the
// pool, and nothing is missed while the log still holds it.
func (t *tail) follow(ctx context.Context) error {
	if err := t.begin(ctx); err != nil {
		return err
	}
	failed := false
	for {
		lines, err := t.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isPgError(err):
			return err
		case err != nil && !failed:
			t.app.note("pgcoherence: %s; trying again", withoutSecrets(err))
		}
		failed = err != nil
		for _, l := range lines {
			if err := t.show(l); err != nil {
				return err
			}
			if t.shown++; t.limit > 0 && t.shown >= t.limit {
				return nil
			}
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.interval):
		}
	}
}

// isPgError reports whether the server refused the statement; not so when it is going down, or coming up.
func isPgError(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && !strings.HasPrefix(pgErr.Code, "57") && !strings.HasPrefix(pgErr.Code, "08")
}

func (t *tail) begin(ctx context.Context) error {
	schema := pgx.Identifier{t.app.schema}.Sanitize()
	if t.since > 0 {
		// The oldest transaction of that time; all that came before it is left out.
		return t.pool.QueryRow(ctx, `SELECT coalesce(min(xid)::text || ':' || min(xid)::text || ':', pg_current_snapshot()::text)
			FROM `+schema+`.event WHERE at > clock_timestamp() - $1 * interval '1 second'`, t.since.Seconds()).Scan(&t.snapshot)
	}
	return t.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text FROM `+schema+`.epoch RIGHT JOIN (SELECT) AS one ON true`).Scan(&t.snapshot)
}

// read returns the events that the current snapshot sees and the last one did not.
func (t *tail) read(ctx context.Context) ([]eventLine, error) {
	schema := pgx.Identifier{t.app.schema}.Sanitize()
	rows, err := t.pool.Query(ctx, `SELECT pg_current_snapshot()::text, e.at, e.topic, e.keys, e.whole, e.xid::text, p.name
		FROM (SELECT) AS one LEFT JOIN (
			SELECT CASE WHEN isfinite(at) THEN at END AS at, coalesce(topic, '') AS topic, array_remove(keys, NULL) AS keys, whole, xid, n, origin
			FROM `+schema+`.event
			WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
			ORDER BY xid, n LIMIT $2) AS e ON true
		LEFT JOIN `+schema+`.pod AS p ON p.id = e.origin
		ORDER BY e.xid, e.n`, t.snapshot, maxRead)
	if err != nil {
		return nil, err
	}

	var lines []eventLine
	var snapshot string
	read := 0
	var topic, xid, origin *string
	var whole *bool
	var l eventLine
	_, err = pgx.ForEachRow(rows, []any{&snapshot, &l.At, &topic, &l.Keys, &whole, &xid, &origin}, func() error {
		if xid == nil {
			return nil // nothing new
		}
		read++
		one := eventLine{At: l.At, Topic: *topic, Keys: slices.Clone(l.Keys), All: whole != nil && *whole, XID: *xid}
		if origin != nil {
			one.Origin = *origin
		}
		if t.wanted(one) {
			lines = append(lines, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.snapshot = snapshot
	if read == maxRead {
		t.app.note("pgcoherence: more than %d events at once; the newest of them are not shown", maxRead)
	}
	return lines, nil
}

func (t *tail) wanted(l eventLine) bool {
	matches := func(patterns []string, text string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			ok, _ := path.Match(p, text) // the patterns were checked
			return ok
		})
	}
	if len(t.topics) > 0 && !matches(t.topics, l.Topic) {
		return false
	}
	return len(t.keys) == 0 || l.All || slices.ContainsFunc(l.Keys, func(k string) bool { return matches(t.keys, k) })
}

// maxRead is how many events one look reads.
const maxRead = 10_000

// maxShownKeys is how many keys of an event a person is shown.
const maxShownKeys = 20

func (t *tail) show(l eventLine) error {
	a := t.app
	if a.json {
		if l.Keys == nil {
			l.Keys = []string{}
		}
		return a.printJSON(l)
	}

	at := "            "
	if l.At != nil {
		at = l.At.Local().Format("15:04:05.000")
	}

	what := a.paint(yellow, "everything")
	if !l.All {
		keys := l.Keys[:min(len(l.Keys), maxShownKeys)]
		what = printable(strings.Join(keys, " "))
		if more := len(l.Keys) - len(keys); more > 0 {
			what += fmt.Sprintf(" and %d more", more)
		}
	}

	origin := ""
	if l.Origin != "" {
		origin = a.paint(faint, "  "+printable(l.Origin))
	}

	a.printf("%s  %s  %s%s\n", a.paint(faint, at), a.paint(blue, printable(l.Topic)), what, origin)
	return nil
}
