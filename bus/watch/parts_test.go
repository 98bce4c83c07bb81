package watch_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// A statement that names the parent, and one that names a partition, each write one event.
func TestWatchPartitions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, `CREATE TABLE visit (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
		CREATE TABLE visit_eu PARTITION OF visit FOR VALUES IN ('eu') PARTITION BY HASH (id);
		CREATE TABLE visit_eu_0 PARTITION OF visit_eu FOR VALUES WITH (MODULUS 1, REMAINDER 0);
		CREATE TABLE visit_us (region text NOT NULL, id int NOT NULL, more text DEFAULT 'x');
		ALTER TABLE visit_us DROP COLUMN more; ALTER TABLE visit ATTACH PARTITION visit_us FOR VALUES IN ('us')`)
	spec := watch.Watch{Table: "visit", Topic: "visit"}
	w.watch(spec)
	for _, test := range []struct {
		name, sql string
		want      []string
	}{
		{"insert", "INSERT INTO visit VALUES (1, 'eu'), (2, 'us')", []string{"visit 1,eu 2,us"}},
		{"row that moves", "UPDATE visit SET region = 'us' WHERE id = 1", []string{"visit 1,eu 1,us"}},
		{"partition, insert", "INSERT INTO visit_eu VALUES (3, 'eu')", []string{"visit 3,eu"}},
		{"leaf, other column order", "UPDATE visit_us SET id = 10 WHERE id = 1", []string{"visit 1,us 10,us"}},
		{"leaf of a leaf", "DELETE FROM visit_eu_0", []string{"visit 3,eu"}},
		{"delete", "DELETE FROM visit", []string{"visit 10,us 2,us"}},
		{"truncate a partition", "TRUNCATE visit_us", []string{"visit *"}},
		{"truncate", "TRUNCATE visit", []string{"visit *"}},
	} {
		w.do(test.sql)
		got := w.log()
		if test.name == "truncate" {
			got = slices.Compact(got) // each partition says so
		}
		require.Equal(t, test.want, got, test.name)
	}

	// A new partition: the parent's triggers are enough for who writes to the parent; the next call puts the rest.
	w.do(`CREATE TABLE visit_ap PARTITION OF visit FOR VALUES IN ('ap'); CREATE TABLE visit_af PARTITION OF visit FOR VALUES IN ('af');
		CREATE TABLE visit_an PARTITION OF visit FOR VALUES IN ('an')`)
	w.do("INSERT INTO visit VALUES (4, 'ap')")
	require.Equal(t, []string{"visit 4,ap"}, w.log())
	w.do("INSERT INTO visit_ap VALUES (5, 'ap')")
	require.Empty(t, w.log(), "the limit that the documentation names")
	all, err := w.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Contains(t, all[0].Broken, `trigger for insert on "public.visit_ap" is missing`)
	require.Contains(t, all[0].Broken, "; and 4 more", "three partitions, four triggers each")
	w.watch(spec)
	w.do("INSERT INTO visit_ap VALUES (6, 'ap')")
	require.Equal(t, []string{"visit 6,ap"}, w.log())

	// One that leaves keeps its triggers, and is a watched table of its own.
	w.do("ALTER TABLE visit DETACH PARTITION visit_ap")
	all, err = w.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "public.visit_ap", all[1].Table)
	require.Empty(t, all[1].Broken)
	require.NoError(t, w.Uninstall(ctx, "visit", "visit"))
	w.do("INSERT INTO visit VALUES (7, 'us'); INSERT INTO visit_us VALUES ('us', 8); INSERT INTO visit_ap VALUES (9, 'ap')")
	require.Equal(t, []string{"visit 9,ap"}, w.log())
	require.NoError(t, w.Uninstall(ctx, "visit_ap", "visit"))
	require.Equal(t, "0", w.text("SELECT count(*)::text FROM pg_proc WHERE proname LIKE 'watch\\_%'"))
}

func TestWatchInheritance(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, userTable+"CREATE TABLE admins (level int) INHERITS (users)")
	w.watch(watch.Watch{Table: "users", Topic: "user"})
	w.do("INSERT INTO admins VALUES (50)")
	w.do("UPDATE users SET name = 'x' WHERE id IN (1, 50)")
	require.Equal(t, []string{"user 50", "user 1 50"}, w.log())
}

// Who may write the table needs no right on our schema; who may not watch it is told which role may.
func TestWatchRoles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable)
	writer, owner := w.db.Name+"_writer", w.db.Name+"_owner"
	w.do(`CREATE ROLE "` + writer + `" LOGIN PASSWORD 'w'; CREATE ROLE "` + owner + `" LOGIN PASSWORD 'o';
		GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON users TO "` + writer + `";
		CREATE TABLE mine (id int PRIMARY KEY); ALTER TABLE mine OWNER TO "` + owner + `"`)
	t.Cleanup(func() {
		for _, role := range []string{writer, owner} {
			_, _ = w.pool.Exec(context.Background(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`)
		}
	})
	as := func(role, password string) (*pgxpool.Pool, *watch.Installer) {
		config, err := pgxpool.ParseConfig(w.db.DSN)
		require.NoError(t, err)
		config.ConnConfig.User, config.ConnConfig.Password = role, password
		pool, err := pgxpool.NewWithConfig(ctx, config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		b, err := watch.New(pool, nil)
		require.NoError(t, err)
		return pool, b
	}
	writers, _ := as(writer, "w")
	w.watch(watch.Watch{Table: "users", Topic: "user"})
	_, err := writers.Exec(ctx, "UPDATE users SET name = 'x' WHERE id = 1; DELETE FROM users WHERE id = 2; TRUNCATE users; INSERT INTO users VALUES (3)")
	require.NoError(t, err)
	require.Equal(t, []string{"user 1", "user 2", "user *", "user 3"}, w.log())
	_, err = writers.Exec(ctx, "INSERT INTO pgcoherence.event (topic) VALUES ('x')")
	requireCode(t, err, "42501")

	// The function has the rights of the log's owner: nobody else can make it a trigger of his own table.
	w.do(`GRANT USAGE ON SCHEMA pgcoherence TO "` + writer + `"; GRANT SELECT ON pgcoherence.migration TO "` + writer + `"`)
	function := w.text("SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgname LIKE 'pgcoherence%insert'")
	_, err = writers.Exec(ctx, "CREATE TEMP TABLE new_rows (id int); CREATE TRIGGER x AFTER INSERT ON new_rows EXECUTE FUNCTION "+function+"()")
	requireCode(t, err, "42501")
	require.Equal(t, "true", w.text(`SELECT (f.prosecdef AND f.proowner = e.relowner AND f.proconfig @> '{"search_path=pg_catalog, pg_temp",jit=off}')::text
		FROM pg_proc AS f, pg_class AS e WHERE f.oid = $1::text::regproc AND e.oid = 'pgcoherence.event'::regclass`, function))

	_, unprivileged := as(writer, "w")
	require.NoError(t, install(ctx, unprivileged, watch.Watch{Table: "users", Topic: "user"}), "it is there already: no right is needed")
	err = install(ctx, unprivileged, watch.Watch{Table: "users", Topic: "other"})
	require.ErrorIs(t, err, watch.ErrPrivilege)
	require.ErrorContains(t, err, `watching "public.users" takes its owner, "`)
	require.ErrorIs(t, unprivileged.Uninstall(ctx, "users", "user"), watch.ErrPrivilege)
	all, err := unprivileged.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)

	// Owning the table is not enough, it takes the log's owner as well; and being both is.
	w.do(`GRANT USAGE ON SCHEMA pgcoherence TO "` + owner + `"; GRANT SELECT ON pgcoherence.migration TO "` + owner + `"`)
	_, owners := as(owner, "o")
	err = install(ctx, owners, watch.Watch{Table: "mine", Topic: "mine"})
	require.ErrorIs(t, err, watch.ErrPrivilege)
	require.ErrorContains(t, err, `takes the owner of schema "pgcoherence", "`)
	w.do(`ALTER SCHEMA pgcoherence OWNER TO "` + owner + `"; ALTER TABLE pgcoherence.event OWNER TO "` + owner + `"`)
	require.NoError(t, install(ctx, owners, watch.Watch{Table: "mine", Topic: "mine"}))
	require.NoError(t, install(ctx, owners, watch.Watch{Table: "mine", Topic: "mine", All: true}))
	require.NoError(t, owners.Uninstall(ctx, "mine", "mine"))
}
