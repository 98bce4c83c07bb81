package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
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
	w.watch(bus.Watch{Table: "parts", Topic: "parts"})
	for want, watch := range map[string]bus.Watch{
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
		err := w.WatchTable(ctx, watch)
		require.ErrorIs(t, err, bus.ErrInvalidWatch, want)
		require.ErrorContains(t, err, want)
		require.Equal(t, 1, strings.Count(err.Error(), "bus: invalid watch"), err)
	}
	require.ErrorIs(t, w.WatchTable(ctx, bus.Watch{Table: "users"}), bus.ErrInvalidEvent, "the topic's error, too")
	require.ErrorIs(t, w.UnwatchTable(ctx, "nobody", "t"), bus.ErrInvalidWatch)
	require.ErrorIs(t, w.UnwatchTable(ctx, "part", "parts"), bus.ErrInvalidWatch)
	require.ErrorIs(t, w.UnwatchTable(ctx, "users", ""), bus.ErrInvalidWatch)
	all, err := w.Watches(ctx)
	require.NoError(t, err)
	require.Equal(t, []bus.Watch{{Table: "public.parts", Topic: "parts", Key: []string{"id"}, MaxKeys: bus.DefaultMaxKeys}}, all)

	if !w.before(18) {
		w.do("CREATE TABLE twice (id int PRIMARY KEY, double int GENERATED ALWAYS AS (2 * id) VIRTUAL)")
		err := w.WatchTable(ctx, bus.Watch{Table: "twice", Topic: "t", Key: []string{"double"}})
		require.ErrorContains(t, err, `"public.twice": column "double" is virtual`)
	}
	conn, err := w.pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(ctx, "CREATE TEMP TABLE pocket (id int PRIMARY KEY)")
	require.NoError(t, err)
	var schema string
	require.NoError(t, conn.QueryRow(ctx, "SELECT pg_my_temp_schema()::regnamespace").Scan(&schema))
	require.ErrorContains(t, w.WatchTable(ctx, bus.Watch{Table: schema + ".pocket", Topic: "t"}), "is a temporary table")
}

func TestWatchWithoutSchema(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, nil).Pool(t)
	b, err := bus.NewPostgres(pool, quick("a"))
	require.NoError(t, err)
	require.ErrorIs(t, b.WatchTable(t.Context(), bus.Watch{Table: "users", Topic: "t"}), bus.ErrSchema)
	require.ErrorIs(t, b.UnwatchTable(t.Context(), "users", "t"), bus.ErrSchema)
	_, err = b.Watches(t.Context())
	require.ErrorIs(t, err, bus.ErrSchema)
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
	b, err := bus.NewPostgres(pool, quick("latin"))
	require.NoError(t, err)
	require.ErrorContains(t, b.WatchTable(ctx, bus.Watch{Table: "item", Topic: "t"}), `"public.item": the database's encoding is LATIN1`)
}

// Names of all kinds, and topics that have to be quoted everywhere.
func TestWatchNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const table, column = `we"ird Täble`, `Kéy "the' \1st`
	w := setupWatch(t, `CREATE SCHEMA "Äpp.x"; CREATE TABLE "Äpp.x"."we""ird Täble" ("Kéy ""the' \1st" text, "touched" int, "r" int,
		PRIMARY KEY ("Kéy ""the' \1st", "touched", "r"))`)
	for _, topic := range []string{"plain", `it's $$ "a" \topic\ %L % -- */ `, "Ünïcode\nline", strings.Repeat("長", 66)} {
		watch := bus.Watch{Table: "Äpp.x." + table, Topic: topic, Key: []string{column, "touched", "r"}, MaxKeys: 7, Announce: bus.InTransaction}
		w.watch(bus.Watch{Table: watch.Table, Topic: topic, MaxKeys: 7, Announce: bus.InTransaction})
		all, err := w.Watches(ctx)
		require.NoError(t, err)
		require.Equal(t, []bus.Watch{watch}, all)
		_, err = w.pool.Exec(ctx, `INSERT INTO "Äpp.x"."we""ird Täble" VALUES ('a,b', 1, 2)`)
		require.NoError(t, err)
		require.Equal(t, []string{topic + " " + bus.KeyOf("a,b", "1", "2")}, w.log())
		w.do(`SET standard_conforming_strings = off; DELETE FROM "Äpp.x"."we""ird Täble"; RESET standard_conforming_strings`)
		require.Equal(t, []string{topic + " a%2Cb,1,2"}, w.log())
		require.NoError(t, w.UnwatchTable(ctx, watch.Table, topic))
	}
	require.Equal(t, "0", w.text("SELECT count(*)::text FROM pg_trigger WHERE tgname LIKE 'pgcoherence%'"))
}

// A name means the same table as it does in the pool's SQL.
func TestWatchSearchPath(t *testing.T) {
	t.Parallel()
	w := setupWatch(t, "CREATE SCHEMA app; CREATE TABLE app.item (id int PRIMARY KEY); INSERT INTO app.item VALUES (1)")
	w.watch(bus.Watch{Table: "item", Topic: "public"})
	w.watch(bus.Watch{Table: "app.item", Topic: "app"})
	w.do("UPDATE item SET value = 2 WHERE id = '1'; UPDATE app.item SET id = 2")
	require.Equal(t, []string{"public 1", "app 1 2"}, w.log())
}
