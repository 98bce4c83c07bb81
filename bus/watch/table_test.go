package watch_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus/watch"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// Every refusal names what is wrong and leaves nothing behind.
func TestWatchInvalid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setupWatch(t, userTable+`CREATE TABLE bare (a int, b int); CREATE VIEW v AS SELECT * FROM users; CREATE MATERIALIZED VIEW m AS SELECT 1;
		CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE f (a int) SERVER s;
		CREATE SEQUENCE q; CREATE SCHEMA "a.b"; CREATE TABLE "a.b".c (id int PRIMARY KEY); CREATE SCHEMA a; CREATE TABLE a."b.c" (id int PRIMARY KEY);
		CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)`)
	w.watch(watch.Watch{Table: "parts", Topic: "parts"})
	for want, spec := range map[string]watch.Watch{
		`Table is empty`:    {Topic: "t"},
		`Table "a\x00b" co`: {Table: "a\x00b", Topic: "t"},
		`not valid UTF-8`:   {Table: "a\xff", Topic: "t"},
		`topic is empty`:    {Table: "users"},
		`topic "` + strings.Repeat("t", 32) + `"… has 201 bytes`: {Table: "users", Topic: strings.Repeat("t", 201)},
		`topic "a\x00" contains NUL`:                             {Table: "users", Topic: "a\x00"},
		`column "id\x00" contains NUL`:                           {Table: "users", Topic: "t", Key: []string{"id\x00"}},
		`column "id" appears twice`:                              {Table: "users", Topic: "t", Key: []string{"id", "team", "id"}},
		`All leaves Key`:                                         {Table: "users", Topic: "t", All: true, Key: []string{"id"}},
		`MaxKeys: -1 is less than 1`:                             {Table: "users", Topic: "t", MaxKeys: -1},
		`Announce: 2 is unknown`:                                 {Table: "users", Topic: "t", Announce: 2},
		`table "nobody" does not exist`:                          {Table: "nobody", Topic: "t"},
		`table "Users" does not exist`:                           {Table: "Users", Topic: "t"},
		`table "\"users\"" does not exist`:                       {Table: `"users"`, Topic: "t"},
		`table "users_pkey" does not exist`:                      {Table: "users_pkey", Topic: "t"},
		`table "q" does not exist`:                               {Table: "q", Topic: "t"},
		`table "app.users" does not exist`:                       {Table: "app.users", Topic: "t"},
		`table "a.b.c": the name can mean 2 tables`:              {Table: "a.b.c", Topic: "t"},
		`"public.v" is a view`:                                   {Table: "v", Topic: "t"},
		`"public.m" is a materialized view`:                      {Table: "m", Topic: "t"},
		`"public.f" is a foreign table`:                          {Table: "f", Topic: "t"},
		`"pgcoherence.event" belongs to the bus`:                 {Table: "pgcoherence.event", Topic: "t", All: true},
		`"public.bare" has no primary key`:                       {Table: "bare", Topic: "t"},
		`"public.users": column "nam" does not exist, column "Team" does not exist (its columns are id, name, team)`: {
			Table: "users", Topic: "t", Key: []string{"id", "nam", "Team"},
		},
		`column "ctid" does not exist`:                                     {Table: "users", Topic: "t", Key: []string{"ctid"}},
		`"public.part" is a part of "public.parts", which is watched for `: {Table: "part", Topic: "parts"},
	} {
		err := install(ctx, w, spec)
		require.ErrorIs(t, err, watch.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.Equal(t, 1, strings.Count(err.Error(), "watch: invalid watch"), err)
	}
	require.ErrorIs(t, w.Uninstall(ctx, "nobody", "t"), watch.ErrInvalid)
	require.ErrorIs(t, w.Uninstall(ctx, "part", "parts"), watch.ErrInvalid)
	require.ErrorIs(t, w.Uninstall(ctx, "users", ""), watch.ErrInvalid)
	all, err := w.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []watch.Watch{{Table: "public.parts", Topic: "parts", Key: []string{"id"}, MaxKeys: watch.DefaultMaxKeys}}, all)

	if !w.before(18) {
		w.do("CREATE TABLE twice (id int PRIMARY KEY, double int GENERATED ALWAYS AS (2 * id) VIRTUAL)")
		err := install(ctx, w, watch.Watch{Table: "twice", Topic: "t", Key: []string{"double"}})
		require.ErrorContains(t, err, `"public.twice": column "double" is virtual`)
	}
	conn, err := w.pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, "CREATE TEMP TABLE pocket (id int PRIMARY KEY)")
	require.NoError(t, err)
	var schema string
	require.NoError(t, conn.QueryRow(ctx, "SELECT pg_my_temp_schema()::regnamespace").Scan(&schema))
	require.ErrorContains(t, install(ctx, w, watch.Watch{Table: schema + ".pocket", Topic: "t"}), "is a temporary table")
}

func TestWatchWithoutSchema(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil).Pool(t)
	b, err := watch.New(pool, nil)
	require.NoError(t, err)
	require.ErrorIs(t, install(t.Context(), b, watch.Watch{Table: "users", Topic: "t"}), watch.ErrSchema)
	require.ErrorIs(t, b.Uninstall(t.Context(), "users", "t"), watch.ErrSchema)
	_, err = b.List(t.Context())
	require.ErrorIs(t, err, watch.ErrSchema)
}

func TestWatchEncoding(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, admin := setup(t)
	name := db.Name + "_latin"
	_, err := admin.Exec(ctx, `CREATE DATABASE "`+name+`" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.Exec(context.Background(), `DROP DATABASE "`+name+`" WITH (FORCE)`) })
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.ConnConfig.Database = name
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, makeSchema(ctx, pool))
	b, err := watch.New(pool, nil)
	require.NoError(t, err)
	require.ErrorContains(t, install(ctx, b, watch.Watch{Table: "item", Topic: "t"}), `"public.item": the database's encoding is LATIN1`)
}

// Names of all kinds, and topics that have to be quoted everywhere.
func TestWatchNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const table, column = `we"ird Täble`, `Kéy "the' \1st`
	w := setupWatch(t, `CREATE SCHEMA "Äpp.x"; CREATE TABLE "Äpp.x"."we""ird Täble" ("Kéy ""the' \1st" text, "touched" int, "r" int,
		PRIMARY KEY ("Kéy ""the' \1st", "touched", "r"))`)
	for _, topic := range []string{"plain", `it's $$ "a" \topic\ %L % -- */ `, "Ünïcode\nline", strings.Repeat("長", 66)} {
		spec := watch.Watch{Table: "Äpp.x." + table, Topic: topic, Key: []string{column, "touched", "r"}, MaxKeys: 7, Announce: watch.InTransaction}
		w.watch(watch.Watch{Table: spec.Table, Topic: topic, MaxKeys: 7, Announce: watch.InTransaction})
		all, err := w.List(ctx)
		require.NoError(t, err)
		require.Equal(t, []watch.Watch{spec}, all)
		_, err = w.pool.Exec(ctx, `INSERT INTO "Äpp.x"."we""ird Täble" VALUES ('a,b', 1, 2)`)
		require.NoError(t, err)
		require.Equal(t, []string{topic + " " + watch.KeyOf("a,b", "1", "2")}, w.log())
		w.do(`SET standard_conforming_strings = off; DELETE FROM "Äpp.x"."we""ird Täble"; RESET standard_conforming_strings`)
		require.Equal(t, []string{topic + " a%2Cb,1,2"}, w.log())
		require.NoError(t, w.Uninstall(ctx, spec.Table, topic))
	}

	require.Equal(t, "0", w.text("SELECT count(*)::text FROM pg_trigger WHERE tgname LIKE 'pgcoherence%'"))
}

// A name means the same table as it does in the pool's SQL.
func TestWatchSearchPath(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, "CREATE SCHEMA app; CREATE TABLE app.item (id int PRIMARY KEY); INSERT INTO app.item VALUES (1)")
	w.watch(watch.Watch{Table: "item", Topic: "public"})
	w.watch(watch.Watch{Table: "app.item", Topic: "app"})
	w.do("UPDATE item SET value = 2 WHERE id = '1'; UPDATE app.item SET id = 2")
	require.Equal(t, []string{"public 1", "app 1 2"}, w.log())
}
