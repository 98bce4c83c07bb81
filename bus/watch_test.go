package bus_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// watched is a database in which tables are watched. No bus runs: what the triggers write stands in the log.
type watched struct {
	*bus.Postgres
	t    *testing.T
	db   *pgtest.DB
	pool *pgxpool.Pool
}

func setupWatch(t *testing.T, sql string) *watched {
	t.Helper()
	db, pool := setup(t)
	b, err := bus.NewPostgres(pool, quick("watch"))
	require.NoError(t, err)
	w := &watched{b, t, db, pool}
	w.do(sql)
	return w
}

// watch is WatchTable; if that changes something, it says so in the log.
func (w *watched) watch(watch bus.Watch) {
	w.t.Helper()
	require.Empty(w.t, w.log())
	before := w.text(installed)
	require.NoError(w.t, w.WatchTable(w.t.Context(), watch))
	if w.text(installed) == before {
		require.Empty(w.t, w.log())
	} else {
		require.Equal(w.t, []string{watch.Topic + " *"}, w.log())
	}
}

// do runs SQL in a transaction of its own.
func (w *watched) do(sql string) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql)
	require.NoError(w.t, err, sql)
}

// text is the one value of a query.
func (w *watched) text(sql string, args ...any) (text string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&text), sql)
	return text
}

// log empties the log: "topic key key" or "topic *" for each event, in the order of the statements.
func (w *watched) log() (events []string) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `WITH gone AS (DELETE FROM pgcoherence.event RETURNING topic, keys, whole, at, n)
		SELECT topic, keys, whole FROM gone WHERE n IS NULL ORDER BY at`)
	require.NoError(w.t, err)
	var topic string
	var keys []string
	var whole bool
	_, err = pgx.ForEachRow(rows, []any{&topic, &keys, &whole}, func() error {
		slices.Sort(keys)
		if whole {
			require.Empty(w.t, keys)
			keys = []string{"*"}
		}
		events = append(events, topic+" "+strings.Join(keys, " "))
		return nil
	})
	require.NoError(w.t, err)
	return events
}

func (w *watched) before(version int) bool {
	w.t.Helper()
	var number int
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT current_setting('server_version_num')::integer").Scan(&number))
	return number < version*10000
}

const userTable = `CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL DEFAULT '', team bigint);
	INSERT INTO users SELECT i, 'n', i / 2 FROM generate_series(1, 4) AS i;`

// TestWatchStatements: one event for each statement that changes rows, whatever its kind.
func TestWatchStatements(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, userTable)
	w.watch(bus.Watch{Table: "users", Topic: "user"})
	for _, test := range []struct {
		name, sql string
		want      []string
	}{
		{"insert", "INSERT INTO users VALUES (5), (6)", []string{"user 5 6"}},
		{"update", "UPDATE users SET name = 'x' WHERE id IN (1, 2)", []string{"user 1 2"}},
		{"update of a key", "UPDATE users SET id = 60 WHERE id = 6", []string{"user 6 60"}},
		{"update of all keys", "UPDATE users SET id = id + 100 WHERE id < 3", []string{"user 1 101 102 2"}},
		{"delete", "DELETE FROM users WHERE id IN (101, 60)", []string{"user 101 60"}},
		{"nothing updated", "UPDATE users SET name = 'x' WHERE id = 999", nil},
		{"nothing deleted", "DELETE FROM users WHERE id = 999", nil},
		{"nothing inserted", "INSERT INTO users SELECT 1 WHERE false", nil},
		{"conflict, nothing", "INSERT INTO users VALUES (3) ON CONFLICT DO NOTHING", nil},
		{"conflict, refused", "INSERT INTO users VALUES (3) ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE false", nil},
		{"conflict, update", "INSERT INTO users VALUES (3) ON CONFLICT (id) DO UPDATE SET name = 'y'", []string{"user 3"}},
		{"conflict, both", "INSERT INTO users VALUES (3), (7) ON CONFLICT (id) DO UPDATE SET name = 'z'", []string{"user 3", "user 7"}},
		{
			"writing CTE", "WITH gone AS (DELETE FROM users WHERE id = 7 RETURNING *) INSERT INTO users SELECT 8, name FROM gone",
			[]string{"user 7", "user 8"},
		},
		{"two statements", "INSERT INTO users VALUES (9); DELETE FROM users WHERE id = 9", []string{"user 9", "user 9"}},
		{"rollback", "BEGIN; INSERT INTO users VALUES (9); ROLLBACK", nil},
		{"savepoint", `BEGIN; INSERT INTO users VALUES (9); SAVEPOINT s; INSERT INTO users VALUES (10); ROLLBACK TO s;
			INSERT INTO users VALUES (11); COMMIT`, []string{"user 11", "user 9"}},
		{"replica", "BEGIN; SET LOCAL session_replication_role = replica; UPDATE users SET name = 'r' WHERE id = 9; COMMIT", []string{"user 9"}},
		{"another search path", `BEGIN; CREATE SCHEMA o; CREATE TABLE o.event (); SET LOCAL search_path = o;
			UPDATE public.users SET name = 's' WHERE id = 9; COMMIT`, []string{"user 9"}},
		{"truncate", "TRUNCATE users", []string{"user *"}},
	} {
		w.do(test.sql)
		got := w.log()
		if strings.HasPrefix(test.name, "conflict") || test.name == "writing CTE" || test.name == "savepoint" {
			slices.Sort(got) // which of the triggers of one statement comes first is not ours to say
		}
		require.Equal(t, test.want, got, test.name)
	}
	_, err := w.pool.CopyFrom(t.Context(), pgx.Identifier{"users"}, []string{"id"}, pgx.CopyFromRows([][]any{{int64(20)}, {int64(21)}}))
	require.NoError(t, err)
	require.Equal(t, []string{"user 20 21"}, w.log(), "copy")
	if w.before(15) {
		return
	}
	w.do(`MERGE INTO users AS u USING (VALUES (20), (21), (22)) AS s (id) ON u.id = s.id
		WHEN MATCHED AND u.id = 20 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'm' WHEN NOT MATCHED THEN INSERT VALUES (s.id)`)
	got := w.log()
	slices.Sort(got)
	require.Equal(t, []string{"user 20", "user 21", "user 22"}, got, "merge")
}

// Keys that cannot be said one by one become the whole topic.
func TestWatchCollapses(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, `CREATE TABLE post (id bigint PRIMARY KEY, author text); CREATE TABLE flag (id bigint)`)
	w.watch(bus.Watch{Table: "post", Topic: "posts", Key: []string{"author"}, MaxKeys: 3})
	w.watch(bus.Watch{Table: "flag", Topic: "flags", All: true})
	for _, test := range []struct {
		name, sql string
		want      []string
	}{
		{"as many as may be", "INSERT INTO post SELECT i, 'a' || i % 3 FROM generate_series(1, 90) AS i", []string{"posts a0 a1 a2"}},
		{"one more", "INSERT INTO post SELECT i, 'a' || i % 4 FROM generate_series(101, 190) AS i", []string{"posts *"}},
		{"old and new together", "UPDATE post SET author = CASE author WHEN 'a0' THEN 'b' ELSE 'c' END WHERE id IN (1, 3)", []string{"posts *"}},
		{"null", "INSERT INTO post VALUES (200, NULL)", []string{"posts *"}},
		{"null among others", "INSERT INTO post VALUES (201, 'a'), (202, NULL)", []string{"posts *"}},
		{"from null", "UPDATE post SET author = 'a' WHERE id = 200", []string{"posts *"}},
		{"empty is not null", "INSERT INTO post VALUES (203, '')", []string{"posts "}},
		{"longest key", "INSERT INTO post VALUES (204, repeat('é', 512))", []string{"posts " + strings.Repeat("é", 512)}},
		{"too long", "UPDATE post SET author = author || 'x' WHERE id = 204", []string{"posts *"}},
		{"all", "INSERT INTO flag VALUES (1)", []string{"flags *"}},
		{"all, updated", "UPDATE flag SET id = 2", []string{"flags *"}},
		{"all, nothing", "UPDATE flag SET id = 2 WHERE false; DELETE FROM flag WHERE false; INSERT INTO flag SELECT 1 WHERE false", nil},
		{"all, deleted", "DELETE FROM flag", []string{"flags *"}},
		{"all, truncated", "TRUNCATE flag", []string{"flags *"}},
	} {
		w.do(test.sql)
		require.Equal(t, test.want, w.log(), test.name)
	}
}

func TestWatchCascade(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, userTable+`CREATE TABLE post (id bigint PRIMARY KEY, author bigint REFERENCES users ON DELETE CASCADE ON UPDATE SET NULL);
		INSERT INTO post VALUES (10, 1), (11, 1), (12, 2), (13, NULL)`)
	w.watch(bus.Watch{Table: "post", Topic: "post"})
	w.do("DELETE FROM users WHERE id = 1")
	require.Equal(t, []string{"post 10 11"}, w.log())
	w.do("UPDATE users SET id = 20 WHERE id = 2")
	require.Equal(t, []string{"post 12"}, w.log())
	w.do("DELETE FROM users WHERE id = 3")
	require.Empty(t, w.log(), "a cascade that finds nothing")
	w.do("TRUNCATE users CASCADE")
	require.Equal(t, []string{"post *"}, w.log())
}

// The events reach pods, by the sweep, like all others.
func TestWatchDelivers(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	require.NoError(t, a.WatchTable(t.Context(), bus.Watch{Table: "item", Topic: "item"}))
	eventually(t, func() bool { return a.has("*") && b.has("*") }, "what was written before, no trigger told of")
	_, err := pool.Exec(t.Context(), "UPDATE item SET value = 1 WHERE id IN ('7', '8')")
	require.NoError(t, err)
	for _, p := range []*pod{a, b} {
		eventually(t, func() bool { return p.has("7") && p.has("8") }, "delivered")
	}
	before := []int{a.count("*"), b.count("*")}
	_, err = pool.Exec(t.Context(), "TRUNCATE item")
	require.NoError(t, err)
	eventually(t, func() bool { return a.count("*") > before[0] && b.count("*") > before[1] }, "delivered")
}
