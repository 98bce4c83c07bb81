package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// sessionSettings are those of the bus' own connections that matter to the
// planner. A test compares them with the bus' source.
const sessionSettings = `SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexscan = on; SET enable_indexonlyscan = on; ` +
	`SET enable_tidscan = on; SET enable_nestloop = on; SET enable_sort = on; SET jit = off`

// readBytes is the statement's limit of bytes, which nothing here reaches.
const readBytes = 1 << 30

// difference is the bus' statement for what was missed, with its parameters.
type difference struct {
	sql        string
	xmax       string   // of the snapshot up to which nothing was missed
	inProgress []string // transactions in that snapshot
	missed     int
}

// differenceSQL returns the statement of the bus itself, for a schema.
func differenceSQL(schema string) (string, error) {
	pool, err := pgxpool.New(context.Background(), "") // it does not connect
	if err != nil {
		return "", fmt.Errorf("statement of the bus: %w", err)
	}
	defer pool.Close()

	b, err := bus.NewPostgres(pool, &bus.Config{Schema: schema})
	if err != nil {
		return "", fmt.Errorf("statement of the bus: %w", err)
	}

	statements, ok := b.Internal(hook.Token{}).(hook.Statements)
	if !ok {
		return "", errors.New("the bus does not return its statements")
	}

	return statements.DifferenceSQL(), nil
}

// fillLog writes the log and answers what a pod has missed that had applied all
// of it but the last events. Three tenths are of one transaction, which once
// made the planner believe that any transaction has a large part of the log.
func fillLog(ctx context.Context, conn *pgx.Conn, plan catchupPlan) (difference, error) {
	const insert = `INSERT INTO pgcoherence.event (n, origin, topic, keys)
		SELECT i, '00000000-0000-0000-0000-000000000001', 'item', ARRAY[i::text] FROM generate_series(1, %d) AS i`
	const transactions = 1000
	large := plan.Logged * 3 / 10
	small := (plan.Logged - large - plan.Missed) / transactions
	commits := func(n, events int) string {
		return fmt.Sprintf(`DO $$ BEGIN FOR t IN 1..%d LOOP `+insert+`; COMMIT; END LOOP; END $$`, n, events)
	}
	d := difference{missed: plan.Missed}
	for _, statement := range []string{
		commits(transactions, small),
		fmt.Sprintf(insert, plan.Logged-plan.Missed-transactions*small),
		`VACUUM ANALYZE pgcoherence.event`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return d, fmt.Errorf("fill the log: %w", err)
		}
	}

	err := conn.QueryRow(ctx, `SELECT pg_snapshot_xmax(s)::text, array(SELECT pg_snapshot_xip(s)::text)
		FROM pg_current_snapshot() AS s`).Scan(&d.xmax, &d.inProgress)
	if err != nil {
		return d, fmt.Errorf("fill the log: %w", err)
	}
	if _, err := conn.Exec(ctx, commits(plan.Missed, 1)); err != nil {
		return d, fmt.Errorf("fill the log: %w", err)
	}

	var logged int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pgcoherence.event`).Scan(&logged); err != nil {
		return d, fmt.Errorf("fill the log: %w", err)
	}
	if logged != plan.Logged {
		return d, fmt.Errorf("fill the log: it has %d events instead of %d", logged, plan.Logged)
	}

	return d, nil
}

// explain names the nodes by which the log is read: in the plan for these
// parameters, and in the one for any, which the server may turn to later.
func (d difference) explain(ctx context.Context, conn *pgx.Conn) (string, error) {
	var plans []string

	if _, err := conn.Exec(ctx, `PREPARE difference AS `+d.sql); err != nil {
		return "", fmt.Errorf("explain: %w", err)
	}

	for _, mode := range []string{"custom", "generic"} {
		if _, err := conn.Exec(ctx, `SET plan_cache_mode = force_`+mode+`_plan`); err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}

		// The values are numbers that the server made.
		var text []byte
		err := conn.QueryRow(ctx, fmt.Sprintf(`EXPLAIN (FORMAT JSON) EXECUTE difference ('%s', '{%s}', %d, %d)`,
			d.xmax, strings.Join(d.inProgress, ","), 1000, readBytes), pgx.QueryExecModeSimpleProtocol).Scan(&text)
		if err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}

		var roots []struct{ Plan planNode }
		if err := json.Unmarshal(text, &roots); err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}

		var nodes []string
		for _, root := range roots {
			nodes = root.Plan.scans("event", nodes)
		}

		plans = append(plans, strings.Join(nodes, " + ")+" ("+mode+")")
	}

	return strings.Join(plans, ", "), nil
}

// planNode is a node of EXPLAIN's JSON.
type planNode struct {
	Type     string     `json:"Node Type"`
	Relation string     `json:"Relation Name"`
	Plans    []planNode `json:"Plans"`
}

// scans adds the kinds of the nodes that read a table to those in nodes.
func (n planNode) scans(relation string, nodes []string) []string {
	if n.Relation == relation && !slices.Contains(nodes, n.Type) {
		nodes = append(nodes, n.Type)
	}
	for _, child := range n.Plans {
		nodes = child.scans(relation, nodes)
	}
	return nodes
}
