package bus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// ownSession is a connection with the settings of the bus' own.
func ownSession(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	conn, err := bus.OwnSession(t.Context(), pool)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestQueriesPrepare: every statement is embedded, loaded, and valid against the schema.
func TestQueriesPrepare(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	conn := ownSession(t, db.DSN)
	queries := bus.Queries(bus.DefaultSchema)
	n, err := bus.QueryFiles()
	require.NoError(t, err)
	require.Equal(t, n, len(queries), "a file without a use, or the reverse") //nolint:testifylint // Len would print them all
	for name, sql := range queries {
		require.NotContains(t, sql, "/*schema*/", name)
		_, err := conn.Prepare(t.Context(), name, sql)
		require.NoError(t, err, name)
	}
}

// TestPlansStayOnIndex: whatever the statistics say. One transaction that wrote 300,000 events once made the planner
// choose a sequential scan.
func TestPlansStayOnIndex(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	start(t, pool, quick("a")).stop() // makes an epoch
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, 300000) AS i;
		ANALYZE pgcoherence.event`)
	require.NoError(t, err)
	conn := ownSession(t, db.DSN)
	queries := bus.Queries(bus.DefaultSchema)
	var xmax string
	require.NoError(t, conn.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&xmax))
	var epoch string
	require.NoError(t, conn.QueryRow(ctx, "SELECT id FROM pgcoherence.epoch").Scan(&epoch))

	for name, args := range map[string][]any{
		"difference":        {xmax, []string{"3", "5"}, 10001, 1 << 24},
		"difference_names":  {xmax, []string{"3", "5"}, 160001},
		"difference_topics": {xmax, []string{"3", "5"}},
		"measure":           {"3"},
		"tidy":              {5000, "3", []string{}},
		"prune":             {"3:3:", epoch, 5000, "3", []string{}, "3", []string{}, "0"},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			_, err := conn.Exec(ctx, "SET plan_cache_mode = "+mode)
			require.NoError(t, err)

			_, err = conn.Prepare(ctx, name+mode, "EXPLAIN (FORMAT JSON) "+queries[name])
			if err != nil { // EXPLAIN takes no parameters of its own: write them in
				require.NoError(t, err)
			}

			var plan []byte
			require.NoError(t, conn.QueryRow(ctx, name+mode, args...).Scan(&plan), name)

			for _, node := range scans(t, plan) {
				if node.relation == "event" {
					require.Contains(t, []string{"Index Scan", "Index Only Scan", "Tid Scan"}, node.kind, "%s %s: %s", name, mode, plan)
				}
			}
		}
	}
}

type scan struct{ kind, relation string }

// scans lists the nodes of a plan that read a relation.
func scans(t *testing.T, plan []byte) (found []scan) {
	t.Helper()
	var tree any
	require.NoError(t, json.Unmarshal(plan, &tree))

	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			kind, _ := v["Node Type"].(string)
			relation, _ := v["Relation Name"].(string)
			if relation != "" && strings.HasSuffix(kind, "Scan") {
				found = append(found, scan{kind, relation})
			}

			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(tree)
	require.NotEmpty(t, found)
	return found
}

// TestDifferenceNeverParallel: on a session without our settings, as behind a pooler, the planner would like to read a
// large log in parallel, and the log's identity cannot be asked for in a parallel plan.
func TestDifferenceNeverParallel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	p := start(t, pool, quick("a"))
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, 50000) AS i`)
	require.NoError(t, err)
	conn, err := pgx.Connect(ctx, db.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(ctx, `SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
		SET min_parallel_index_scan_size = 0`)
	require.NoError(t, err)
	_, _, err = p.Difference(ctx, conn, "3:3:")
	require.NoError(t, err)
}

// TestDifferenceIsExact compares the difference with what a plain table of ground truth says, over transactions that
// overlap, roll back, use savepoints, and commit in another order than they began.
func TestDifferenceIsExact(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	p := start(t, pool, quick("a"))
	reader := ownSession(t, db.DSN)
	var base string
	require.NoError(t, reader.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&base))
	open := map[string]pgx.Tx{}
	var committed, got []string
	step := func(i int) {
		switch {
		case i%3 != 2 || len(open) == 0:
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)

			key := fmt.Sprint(i)
			if i%4 == 0 {
				sp, err := tx.Begin(ctx)
				require.NoError(t, err)
				_, err = p.Stage(ctx, sp, bus.Event{Topic: "item", Keys: []string{key}})
				require.NoError(t, err)
				require.NoError(t, sp.Commit(ctx))
			} else {
				_, err = p.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{key}})
				require.NoError(t, err)
			}

			open[key] = tx
		default:
			for key, tx := range open {
				delete(open, key)

				if i%5 == 0 {
					require.NoError(t, tx.Rollback(ctx))
				} else {
					require.NoError(t, tx.Commit(ctx))
					committed = append(committed, key)
				}

				if len(open) < 3 {
					break
				}
			}
		}
	}
	for i := range 120 {
		if len(open) > 2 {
			step(5*i + 2)
		} else {
			step(i)
		}
		if i%7 == 0 {
			keys, current, err := p.Difference(ctx, reader, base)
			require.NoError(t, err)
			got, base = append(got, keys...), current
		}
	}

	for key, tx := range open {
		require.NoError(t, tx.Commit(ctx))
		committed = append(committed, key)
	}

	keys, _, err := p.Difference(ctx, reader, base)
	require.NoError(t, err)
	got = append(got, keys...)
	slices.Sort(got)
	slices.Sort(committed)
	require.Equal(t, committed, got, "each committed event exactly once, whatever the order")
}

// TestIdleStatements: an idle pod costs at most two statements a second, and the one that sweeps at most one more per
// sweep interval, plus the few marks that prove beats.
func TestIdleStatements(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	cfg := func(name string) *bus.Config { return &bus.Config{Name: name, Logger: quiet} }
	pods := []*pod{start(t, pool, cfg("a")), start(t, pool, cfg("b")), start(t, pool, cfg("c"))}
	var connections int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'pgcoherence %'`).Scan(&connections))
	require.Equal(t, 2*len(pods), connections)

	eventually(t, func() bool { return pods[0].Stats().Marks+pods[1].Stats().Marks+pods[2].Stats().Marks > 3 }, "somebody sweeps")
	before := make([]bus.Stats, len(pods))
	for i, p := range pods {
		before[i] = p.Stats()
	}
	begin := time.Now()
	time.Sleep(5 * time.Second) // the one thing measured here is what happens while nothing happens
	seconds := time.Since(begin).Seconds()
	for i, p := range pods {
		after := p.Stats()
		rate := float64(after.Statements-before[i].Statements) / seconds
		sweeps := float64(after.Sweeps-before[i].Sweeps) / seconds
		marks := float64(after.Marks-before[i].Marks) / seconds
		reaps := 0.0
		if sweeps > 1 {
			reaps = 1
		}
		require.LessOrEqual(t, rate-sweeps-marks-reaps, 2.2, "pod %d: %+v", i, after)
		require.LessOrEqual(t, sweeps, 10.5)
		require.LessOrEqual(t, marks, 6.0, "a few per beat")
		require.True(t, p.Fresh())
	}
}
