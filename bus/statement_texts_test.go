package bus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestStatementTexts: pods of ever new names, idle and at work, leave a constant number of entries in pg_stat_statements, in
// every exec mode. None has a comment, or the name of a pod.
func TestStatementTexts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := pgtest.Start(ctx, &pgtest.Config{Settings: map[string]string{
		"shared_preload_libraries": "pg_stat_statements", "compute_query_id": "on", "pg_stat_statements.max": "10000",
	}})
	if err != nil {
		if strings.Contains(err.Error(), "pg_stat_statements") {
			pgtest.Missing(t, "a Postgres with pg_stat_statements (Debian: postgresql-15): %v", err)
		}
		require.NoError(t, err)
	}
	t.Cleanup(func() { _ = server.Close() })
	admin, err := pgxpool.New(ctx, server.DSN(""))
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	var loaded string
	require.NoError(t, admin.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'").Scan(&loaded))
	if !strings.Contains(loaded, "pg_stat_statements") {
		pgtest.Missing(t, "a server with shared_preload_libraries = pg_stat_statements; that of %s has %q", pgtest.EnvDatabaseURL, loaded)
	}
	_, err = admin.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
	require.NoError(t, err)

	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			name := "texts_" + strings.ReplaceAll(mode.String(), " ", "_")
			_, err := admin.Exec(ctx, fmt.Sprintf("CREATE DATABASE %q", name))
			require.NoError(t, err)
			config, err := pgxpool.ParseConfig(server.DSN(name))
			require.NoError(t, err)
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(ctx, config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			require.NoError(t, makeSchema(ctx, pool))
			_, err = admin.Exec(ctx, "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = $1), 0)", name)
			require.NoError(t, err)

			// A statement that runs now and then may first run late. One that every pod has of its own never stops to come.
			var known []string
			for round := 0; ; round++ {
				runPods(t, pool, fmt.Sprintf("zebra%d", round), round == 0)
				texts := statementTexts(t, admin, name)
				added := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return slices.Contains(known, text) })
				known = append(known, added...)
				if len(added) == 0 && round > 1 {
					break
				}
				require.Less(t, round, 12, "entries come with every pod: %q", added)
			}
			require.LessOrEqual(t, len(known), len(bus.Queries(bus.DefaultSchema))+20)
			for _, text := range known {
				require.NotContains(t, text, "zebra")
				require.NotContains(t, text, "--")
				require.NotContains(t, text, "/*")
			}
			t.Logf("%d entries", len(known))
		})
	}
}

// runPods runs pods of these names until each has beaten and the cluster has swept, then publishes and ends. To confirm takes a
// new cluster a whole pod lease.
func runPods(t *testing.T, pool *pgxpool.Pool, name string, confirm bool) {
	t.Helper()
	var pods []*pod
	for i := range 3 {
		pods = append(pods, start(t, pool, quick(fmt.Sprintf("%s pod %d", name, i))))
	}
	sweeps := func() (n int64) {
		for _, p := range pods {
			n += p.Stats().Sweeps
		}
		return n
	}
	eventually(t, func() bool {
		return sweeps() > 20 && !slices.ContainsFunc(pods, func(p *pod) bool { return p.Stats().Statements < 20 })
	}, "idle pods have done all they do")

	for i, p := range pods {
		receipt, err := p.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{name, fmt.Sprint(i)}})
		require.NoError(t, err)
		if confirm {
			require.NoError(t, p.Confirm(t.Context(), receipt))
		}
	}
	for _, p := range pods {
		p.stop()
	}
}

// statementTexts lists the entries of a database.
func statementTexts(t *testing.T, admin *pgxpool.Pool, database string) []string {
	t.Helper()
	rows, err := admin.Query(context.Background(), `SELECT query FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
		WHERE datname = $1 ORDER BY query`, database)
	require.NoError(t, err)
	var texts []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		texts = append(texts, text)
	}
	require.NoError(t, rows.Err())
	return texts
}
