package sessionstore_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// With many sessions, and with ten million by the statistics, the statements of requests and of the sweep stay on their
// indexes.
func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	_, err := p.pool.Exec(ctx, `
		INSERT INTO pgcoherence.session_user (user_id) SELECT 'user' || i FROM generate_series(0, 2000) AS i;
		INSERT INTO pgcoherence.session (key, proof, prev_key, id, user_id, last_write, data, expires_at, issuer, sid)
		SELECT substr(sha256(i::text::bytea), 1, 16), substr(sha256(i::text::bytea), 17, 16), CASE WHEN i % 10 = 0 THEN substr(sha256(('p' || i)::bytea), 1, 16) END,
			gen_random_uuid(), 'user' || i % 2000, gen_random_uuid(), 'x', clock_timestamp() + interval '1 day', 'idp', i::text
		FROM generate_series(1, 30000) AS i;
		ANALYZE pgcoherence.session; ANALYZE pgcoherence.session_user`)
	require.NoError(t, err)
	key, id, empty := make([]byte, 16), uuid.NewString(), ""
	queries := sessionstore.Queries("pgcoherence")
	for name, args := range map[string][]any{
		"get":              {key},
		"save":             {key, key, id, 1, key, id, nil, false},
		"rotate":           {key, key, key, key, nil, 0, id, empty, 0, 0, 0, 0, empty, empty, empty, nil},
		"first_use":        {key, key},
		"login_stands":     {"user1", 0},
		"adopt":            {key, key, empty, 0, 1, -1, false, empty, empty},
		"revoke":           {key, key, empty, empty},
		"revoke_id":        {id, "user1", empty, empty, empty},
		"revoke_user":      {"user1", empty},
		"revoke_others":    {key, key, empty},
		"revoke_sid":       {"idp", "1", empty, empty},
		"list":             {"user1", 10},
		"inspect":          {id},
		"count":            {"user1"},
		"evict":            {"user1", 5, empty, empty},
		"touch":            {[]string{id}, []int64{1}, []string{empty}},
		"forget_user":      {"user1"},
		"forget_sessions":  {"user1"},
		"set_device":       {id, "user1", empty},
		"set_policy":       {key, key, 0, 1},
		"bound":            {[]string{id}},
		"sweep_expired":    {100},
		"sweep_due":        {100},
		"sweep_walk":       {0, 128, 100},
		"sweep_walked":     {1},
		"sweep_pages":      {},
		"sweep_begin":      {1, 1},
		"sweep_end":        {0.1},
		"create":           {key, key, id, "user1", 1, id, key, nil, 0, 1, 0, empty, empty, "{}", false, empty, false},
		"enter_user":       {"user1", 1},
		"hold_user":        {"user1"},
		"generation":       {"user1"},
		"export":           {id, key, 500},
		"sweep_delete":     {[][]byte{key}},
		"sweep_later":      {[][]byte{key}},
		"sweep_users":      {50},
		"sweep_ended":      {[]string{"user1"}, []int64{1}, empty, 100},
		"sweep_orphans":    {[][]byte{key}, empty},
		"sweep_users_done": {[]string{"user1"}, []int64{1}},
		"sweep_forgotten":  {100},
		"sweep_logouts":    {100},
		"sweep_one_time":   {100},
		"take":             {key},
	} {
		// The plan for any arguments, as a prepared statement soon has it, and the one for these.
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			for _, rows := range []int{30_000, 10_000_000} {
				plan := planOf(t, p, name, queries[name], mode, rows, args)
				if name == "bound" || name == "touch" {
					// A few rows of the small table of users may be hashed; the sessions are not scanned.
					require.NotContains(t, plan, "Seq Scan on session s", "%s, %s, %d rows:\n%s", name, mode, rows, plan)
					continue
				}
				plan = strings.ReplaceAll(plan, "Seq Scan on session_sweep", "its one row")
				plan = strings.ReplaceAll(plan, "Seq Scan on session_state", "its one row")
				if strings.HasPrefix(name, "sweep_") {
					// Not by reading an index from its beginning to its end either.
					require.NotRegexp(t, `(?m)Index Scan .*\n *Filter: \(`, plan, "%s, %s, %d rows:\n%s", name, mode, rows, plan)
					require.NotContains(t, plan, "JIT", "%s, %s, %d rows:\n%s", name, mode, rows, plan)
				}
				require.NotContains(t, plan, "Seq Scan", "%s, %s, %d rows:\n%s", name, mode, rows, plan)
			}
		}
	}

	// A use changes no index: its update stays on the page.
	token, _ := login(t, p, "ann", nil)
	_, first, _ := sessionstore.KeyOf(token)
	var before, after int
	hot := "SELECT pg_stat_get_xact_tuples_hot_updated('pgcoherence.session'::regclass)"
	tx := begin(t, p.pool)
	require.NoError(t, tx.QueryRow(ctx, hot).Scan(&before))
	_, err = tx.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = clock_timestamp() WHERE key = $1", first)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(ctx, hot).Scan(&after))
	require.Equal(t, before+1, after)
}

// planOf returns the plan of a statement where the statistics say that there are so many sessions and users.
func planOf(t *testing.T, p *pod, name, sql, mode string, rows int, args []any) string {
	t.Helper()
	ctx := t.Context()
	tx := begin(t, p.pool)
	defer func() { require.NoError(t, tx.Rollback(ctx)) }()
	_, err := tx.Exec(ctx, "SET LOCAL plan_cache_mode = "+mode)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `UPDATE pg_class SET reltuples = $1
		WHERE oid IN ('pgcoherence.session'::regclass, 'pgcoherence.session_user'::regclass)`, rows)
	require.NoError(t, err)
	if strings.HasPrefix(name, "sweep_") {
		_, err := tx.Exec(ctx, sessionstore.Queries("pgcoherence")["sweep_lock"], "x")
		require.NoError(t, err)
	}

	found, err := tx.Query(ctx, "EXPLAIN "+sql, args...)
	require.NoError(t, err, name)
	lines, err := pgx.CollectRows(found, pgx.RowTo[string])
	require.NoError(t, err, name)
	return strings.Join(lines, "\n")
}
