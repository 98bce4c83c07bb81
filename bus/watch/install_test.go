package watch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// installed is what would change if anything were done again.
const installed = `SELECT coalesce(string_agg(t.xmin::text || t.oid || f.xmin || f.oid, ' ' ORDER BY t.oid), 'nothing')
	FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid WHERE t.tgname LIKE 'pgcoherence%'`

func TestWatchIdempotent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable)
	spec := watch.Watch{Table: "users", Topic: "user"}

	// Many pods that start at once.
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() { errs[i] = install(ctx, w, spec) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, []string{"user *"}, w.log(), "one of them did it")
	before := w.text(installed)

	// Nothing is locked either: somebody is writing, and in no hurry.
	tx, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "UPDATE users SET name = 'x'")
	require.NoError(t, err)
	hurry, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, same := range []watch.Watch{
		spec,
		{Table: "public.users", Topic: "user", Key: []string{"id"}, MaxKeys: watch.DefaultMaxKeys, Announce: watch.AfterSweep, Broken: "no matter"},
	} {
		require.NoError(t, install(hurry, w, same))
	}
	require.Equal(t, before, w.text(installed))
	brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, install(brief, w, watch.Watch{Table: "users", Topic: "user", MaxKeys: 2}), context.DeadlineExceeded)
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, before, w.text(installed))
	require.Equal(t, []string{"user 1 2 3 4"}, w.log())
}

// In whatever way the pool speaks to the server, such as behind a pooler.
func TestWatchExecModes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, _ := setup(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		config, err := pgxpool.ParseConfig(db.DSN)
		require.NoError(t, err)
		config.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(ctx, config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		b, err := watch.New(pool, nil)
		require.NoError(t, err)

		spec := watch.Watch{Table: "public.item", Topic: `it's \n`, Key: []string{"id", "value"}, MaxKeys: 5, Announce: watch.InTransaction}
		for range 2 {
			require.NoError(t, install(ctx, b, spec), mode)
		}

		all, err := b.List(ctx)
		require.NoError(t, err, mode)
		require.Equal(t, []watch.Watch{spec}, all)
		require.NoError(t, b.Uninstall(ctx, spec.Table, spec.Topic), mode)
		all, err = b.List(ctx)
		require.NoError(t, err, mode)
		require.Empty(t, all)
	}
}

func TestWatchReplaceAndUnwatch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable)
	list := func() (out []string) {
		all, err := w.List(ctx)
		require.NoError(t, err)
		for _, one := range all {
			require.Empty(t, one.Broken)
			out = append(out, fmt.Sprintln(one.Table, one.Topic, one.Key, one.All, one.MaxKeys, one.Announce))
		}
		return out
	}
	require.Empty(t, list())
	w.watch(watch.Watch{Table: "users", Topic: "user"})
	w.watch(watch.Watch{Table: "users", Topic: "team", Key: []string{"team"}, Announce: watch.InTransaction})
	w.watch(watch.Watch{Table: "item", Topic: "user", All: true})
	require.ElementsMatch(t, []string{
		"public.item user [] true 0 after-sweep\n", "public.users team [team] false 1000 in-transaction\n",
		"public.users user [id] false 1000 after-sweep\n",
	}, list())
	w.do("UPDATE users SET team = 70 WHERE id = 2")
	require.ElementsMatch(t, []string{"user 2", "team 1 70"}, w.log(), "one event for each topic")

	w.watch(watch.Watch{Table: "users", Topic: "user", Key: []string{"id", "name"}, MaxKeys: 5})
	require.Contains(t, list(), "public.users user [id name] false 5 after-sweep\n")
	w.watch(watch.Watch{Table: "users", Topic: "team", All: true})
	w.do("INSERT INTO users VALUES (9, 'nine')")
	require.ElementsMatch(t, []string{"user 9,nine", "team *"}, w.log())
	require.Equal(t, "3", w.text("SELECT count(*)::text FROM pg_proc WHERE proname LIKE 'watch\\_%'"))

	require.NoError(t, w.Uninstall(ctx, "users", "user"))
	require.NoError(t, w.Uninstall(ctx, "users", "user"), "not watched: nothing to do")
	require.Len(t, list(), 2)
	w.do("DELETE FROM users WHERE id = 9")
	require.Equal(t, []string{"team *"}, w.log())

	// A table that is dropped takes its triggers along; the function goes with the next change of a watch.
	w.do("DROP TABLE users")
	require.Len(t, list(), 1)
	require.NoError(t, w.Uninstall(ctx, "item", "user"))
	require.Equal(t, "0", w.text("SELECT count(*)::text FROM pg_proc WHERE proname LIKE 'watch\\_%'"))

	// Dropping our schema takes the triggers off: nothing of ours stays in the way.
	w.watch(watch.Watch{Table: "item", Topic: "user"})
	w.do("DROP SCHEMA pgcoherence CASCADE; UPDATE item SET value = 5")
}

// A column that was renamed or dropped never fails a writer, is told of at each statement, and is seen by Watches.
func TestWatchBrokenColumn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable)
	w.watch(watch.Watch{Table: "users", Topic: "user", Key: []string{"team", "id"}})

	var warnings []string
	config := w.pool.Config().ConnConfig
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warnings = append(warnings, n.Severity+": "+n.Message) }
	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	do := func(sql string) {
		t.Helper()
		_, err := conn.Exec(ctx, sql)
		require.NoError(t, err)
	}
	do("UPDATE users SET name = 'x' WHERE id = 2")
	require.Equal(t, []string{"user 1,2"}, w.log(), "the session has its plan")
	require.Empty(t, warnings)

	for _, change := range []string{"ALTER TABLE users RENAME COLUMN team TO crew", "ALTER TABLE users DROP COLUMN crew"} {
		do(change)
		for _, sql := range []string{"UPDATE users SET name = 'y' WHERE id = 2", "INSERT INTO users DEFAULT VALUES", "DELETE FROM users WHERE id = 9"} {
			warnings = nil
			do("ALTER TABLE users ALTER COLUMN id SET DEFAULT 9; " + sql)
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], "WARNING: pgcoherence: watch of table public.users: column r.team does not exist: all of topic user")
			require.Equal(t, []string{"user *"}, w.log())
		}
		all, err := w.List(ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, `table "public.users": column "team" does not exist`, all[0].Broken)
		require.ErrorContains(t, install(ctx, w, all[0]), `column "team" does not exist`)
	}

	// Another type is no trouble, nor is another name of the table.
	w.watch(watch.Watch{Table: "users", Topic: "user"})
	do("UPDATE users SET name = 'z' WHERE id = 2; ALTER TABLE users ALTER COLUMN id TYPE text; ALTER TABLE users RENAME TO people; UPDATE people SET name = 'z' WHERE id = '2'")
	require.Equal(t, []string{"user 2", "user 2"}, w.log())
	all, err := w.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []watch.Watch{{Table: "public.people", Topic: "user", Key: []string{"id"}, MaxKeys: watch.DefaultMaxKeys}}, all)
}

// What somebody has taken away or switched off is told of, and the next WatchTable puts it right.
func TestWatchRepairs(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, userTable)
	spec := watch.Watch{Table: "users", Topic: "user"}
	for change, want := range map[string]string{
		"DROP TRIGGER %s ON users":                    `table "public.users": trigger for update on "public.users" is missing`,
		"ALTER TABLE users DISABLE TRIGGER %s":        `table "public.users": trigger for update on "public.users" is disabled`,
		"ALTER TABLE users ENABLE TRIGGER %s":         `table "public.users": trigger for update on "public.users" is not enabled always`,
		"ALTER TABLE users ENABLE REPLICA TRIGGER %s": `table "public.users": trigger for update on "public.users" is not enabled always`,
		"CREATE OR REPLACE TRIGGER %s AFTER UPDATE ON users EXECUTE FUNCTION pgcoherence.other(); ALTER TABLE users ENABLE ALWAYS TRIGGER %[1]s": `table "public.users": trigger for update on "public.users" calls a function that another definition or version made`,
	} {
		w.watch(spec)
		w.do("CREATE OR REPLACE FUNCTION pgcoherence.other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
		w.do(fmt.Sprintf(change, w.text("SELECT quote_ident(tgname) FROM pg_trigger WHERE tgname LIKE 'pgcoherence%update'")))
		all, err := w.List(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, want, all[0].Broken)
		w.watch(spec)
		w.do("UPDATE users SET name = 'x' WHERE id = 1")
		require.Equal(t, []string{"user 1"}, w.log())
	}
}

// A function that a newer version of this library wrote is left as it is, so that pods of two versions do not take
// turns; what it is told to do can be changed.
func TestWatchNewerVersion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable)
	spec := watch.Watch{Table: "users", Topic: "user"}
	w.watch(spec)
	_, err := w.pool.Exec(ctx, "DO $do$ BEGIN EXECUTE (SELECT replace(replace(pg_get_functiondef(tgfoid), 'watch 1 {', 'watch 2 {\"later\":1,'), "+
		"'RETURN NULL', 'RETURN  NULL') FROM pg_trigger WHERE tgname LIKE 'pgcoherence%insert'); END $do$")
	require.NoError(t, err)
	before := w.text(installed)
	w.watch(spec)
	require.Equal(t, before, w.text(installed))
	all, err := w.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []watch.Watch{{Table: "public.users", Topic: "user", Key: []string{"id"}, MaxKeys: watch.DefaultMaxKeys}}, all)
	spec.MaxKeys = 3
	w.watch(spec)
	require.NotEqual(t, before, w.text(installed))
}
