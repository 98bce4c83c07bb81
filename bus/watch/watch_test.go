package watch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

const userTable = `CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL DEFAULT '', team bigint);
	INSERT INTO users SELECT i, 'n', i / 2 FROM generate_series(1, 4) AS i;`

// TestWatchStatements: one event for each statement that changes rows, whatever its kind.
func TestWatchStatements(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, userTable)
	w.watch(watch.Watch{Table: "users", Topic: "user"})

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
	w.watch(watch.Watch{Table: "post", Topic: "posts", Key: []string{"author"}, MaxKeys: 3})
	w.watch(watch.Watch{Table: "flag", Topic: "flags", All: true})

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
	w.watch(watch.Watch{Table: "post", Topic: "post"})
	w.do("DELETE FROM users WHERE id = 1")
	require.Equal(t, []string{"post 10 11"}, w.log())
	w.do("UPDATE users SET id = 20 WHERE id = 2")
	require.Equal(t, []string{"post 12"}, w.log())
	w.do("DELETE FROM users WHERE id = 3")
	require.Empty(t, w.log(), "a cascade that finds nothing")
	w.do("TRUNCATE users CASCADE")
	require.Equal(t, []string{"post *"}, w.log())
}
