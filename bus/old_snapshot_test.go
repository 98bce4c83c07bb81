package bus_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// visited adds up how many rows the nodes of a plan have read, those that a filter removed included, and how many pages.
func visited(t *testing.T, plan []byte) (pages float64) {
	t.Helper()
	var tree []map[string]any
	require.NoError(t, json.Unmarshal(plan, &tree))
	top, ok := tree[0]["Plan"].(map[string]any)
	require.True(t, ok)
	for _, name := range []string{"Shared Hit Blocks", "Shared Read Blocks"} {
		n, _ := top[name].(float64)
		pages += n
	}
	return pages
}

// holdSnapshot keeps every version of every row from now on, as a dump does.
func holdSnapshot(t *testing.T, dsn string) {
	t.Helper()
	old, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = old.Close(context.Background()) })
	_, err = old.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_snapshot()")
	require.NoError(t, err)
}

// With a snapshot held for an hour and 50 pods, a beat reads about as many pages as without: it finds its row by its place,
// and looks at no other.
func TestBeatUnderAnOldSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	start(t, pool, quick("epoch")).stop()
	conn := ownSession(t, db.DSN)
	const id = "00000000-0000-0000-0000-000000000001"
	_, err := conn.Exec(ctx, `INSERT INTO pgcoherence.pod (id, name) SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'pod'
		FROM generate_series(1, 50) AS i`)
	require.NoError(t, err)
	_, err = conn.Prepare(ctx, "beat", "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+bus.Queries(bus.DefaultSchema)["beat"])
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan")
	require.NoError(t, err)
	beat := func() float64 {
		var place string
		require.NoError(t, conn.QueryRow(ctx, "SELECT ctid::text FROM pgcoherence.pod WHERE id = $1", id).Scan(&place))
		var plan []byte
		require.NoError(t, conn.QueryRow(ctx, "beat", id, "", "0", int64(0), "{}", int64(1), int64(1), int64(1), place).Scan(&plan))
		return visited(t, plan)
	}
	beat()
	usual := max(beat(), beat())

	holdSnapshot(t, db.DSN)
	_, err = conn.Exec(ctx, `CREATE PROCEDURE hour() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..3600 LOOP
		UPDATE pgcoherence.pod SET beat = beat + 1; COMMIT; END LOOP; END $$`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "CALL hour()")
	require.NoError(t, err)
	beat()
	require.LessOrEqual(t, min(beat(), beat()), 3*usual, "pages")
}

// Under an old snapshot deleted rows stay, and their index entries too. A prune goes on from where it was and does not
// read them again.
func TestPruneUnderAnOldSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	start(t, pool, quick("epoch")).stop()
	conn := ownSession(t, db.DSN)
	_, err := conn.Exec(ctx, `CREATE PROCEDURE write(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP
		INSERT INTO pgcoherence.event (topic, keys) VALUES ('item', ARRAY[i::text]); COMMIT; END LOOP; END $$`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "CALL write(60000)")
	require.NoError(t, err)
	holdSnapshot(t, db.DSN)

	var epoch string
	require.NoError(t, conn.QueryRow(ctx, "SELECT id::text FROM pgcoherence.epoch").Scan(&epoch))
	_, err = conn.Prepare(ctx, "prune", "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+bus.Queries(bus.DefaultSchema)["prune"])
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan")
	require.NoError(t, err)
	var snapshot, xmax string
	prune := func(base string) float64 {
		var plan []byte
		require.NoError(t, conn.QueryRow(ctx, "SELECT pg_current_snapshot()::text, pg_snapshot_xmax(pg_current_snapshot())::text").Scan(&snapshot, &xmax))
		require.NoError(t, conn.QueryRow(ctx, "prune", snapshot, epoch, 5000, xmax, []string{}, base, []string{}, "0").Scan(&plan))
		return visited(t, plan)
	}
	for range 12 {
		prune("0")
	}
	done := xmax
	_, err = conn.Exec(ctx, "CALL write(100)")
	require.NoError(t, err)
	again, on := prune("0"), float64(0)
	_, err = conn.Exec(ctx, "CALL write(100)")
	require.NoError(t, err)
	on = prune(done)
	t.Logf("pages: %v from the beginning, %v going on", again, on)
	require.Less(t, on, again/2)
	var left int
	require.NoError(t, conn.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&left))
	require.Zero(t, left)
}

// No pod lives for Retention, and the log is pruned all the same: each goes on from the snapshots of those before it.
func TestPruningNeedsNoLongLife(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	cfg := quick("short-lived")
	cfg.Retention = 12 * time.Second
	_, err := pool.Exec(ctx, "SELECT pgcoherence.invalidate('item', 'old')")
	require.NoError(t, err)

	pruned := int64(0)
	eventually(t, func() bool {
		p := prepare(t, pool, cfg)
		p.run(t)
		p.waitReady(t)
		time.Sleep(4 * time.Second) // a third of Retention
		p.stop()
		pruned += p.Stats().Pruned
		return pruned > 0
	}, "pruned")
}
