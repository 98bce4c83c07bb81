package bus_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// hostile are values that a column can hold and nobody of this module writes, as SQL.
var hostile = map[string][]string{
	"xid": {
		"'0'", "'3'", "'18446744073709551615'", "'9223372036854775808'", "pg_current_xact_id()", "pg_snapshot_xmin(pg_current_snapshot())",
		"pg_snapshot_xmax(pg_current_snapshot())", "(pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 40)::text::xid8",
	},
	"n":     {"NULL", "0", "-1", "-2147483648", "2147483647"},
	"at":    {"'infinity'", "'-infinity'", "'294276-01-01'", "'4713-01-01 BC'", "'1970-01-01'", "clock_timestamp()"},
	"whole": {"true", "false"},
	"topic": {"'item'", "''", "repeat('t', 201)", "repeat('t', 3000000)", "'other'", `E'a\u0001b'`, "'日本'"},
	"keys": {
		"'{}'", "'{1}'", "'{1,NULL}'", "'{NULL}'", "ARRAY[['1','2'],['3','4']]", "'[0:1]={a,b}'", "'[-5:-5]={x}'",
		"ARRAY[repeat('k', 2000000)]", "ARRAY[repeat('k', 20000000)]", "array_fill('k'::text, ARRAY[200000])", "ARRAY['']",
		"ARRAY[NULL, repeat('k', 100000)]", "array_fill(NULL::text, ARRAY[3, 4])",
		"(SELECT array_agg(md5(i::text)) FROM generate_series(1, 300) AS i)",
	},
}

// Whatever a role that may write to the log has written there, pods read it, deliver what has a meaning, and go on: no
// reconnection, no reset, no topic that hangs.
func TestEveryRowCanBeRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	patient := func(name string) *bus.Config { // a busy machine must not look like an error
		cfg := quick(name)
		cfg.ProbeTimeout = 15 * time.Second
		return cfg
	}
	a, b := start(t, pool, patient("a")), start(t, pool, patient("b"))
	polling := patient("polling")
	polling.Mode = bus.Poll
	c := start(t, pool, polling)
	rows := 0
	insert := func(columns map[string]string) {
		t.Helper()
		var names, values []string
		for name, value := range columns {
			names, values = append(names, name), append(values, value)
		}
		_, err := pool.Exec(ctx, fmt.Sprintf("INSERT INTO pgcoherence.event (%s) VALUES (%s)", strings.Join(names, ", "), strings.Join(values, ", ")))
		require.NoError(t, err, columns)
		rows++
	}

	// Each value once, on the topic that all listen to.
	for column, values := range hostile {
		for _, value := range values {
			columns := map[string]string{"topic": "'item'", "keys": "'{plain}'"}
			columns[column] = value
			insert(columns)
		}
	}
	// And at random.
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		columns := map[string]string{}
		for column, values := range hostile {
			columns[column] = values[r.IntN(len(values))]
		}
		insert(columns)
	}
	pods := []*pod{a, b, c}
	for _, p := range pods {
		eventually(t, func() bool { // what is read together with a whole topic is part of it
			_, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"last"}})
			return err == nil && p.has("*") && p.has("last")
		}, "all is delivered: %v", p.reasons())
	}

	// Two events that claim one name, in one transaction, and each means another topic. Again until it is read without the
	// rows from above whose transactions come to pass only now: a whole topic among them would take the key's place.
	for _, p := range pods {
		eventually(t, func() bool {
			_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.event (n, topic, keys) VALUES (0, 'other', '{x}'), (0, 'item', '{twin}')`)
			return err == nil && p.has("twin")
		}, "delivered")
		require.Equal(t, []bus.Reason{bus.ReasonStart}, p.reasons())
		require.Zero(t, p.Stats().Reconnects, p.Stats().LastError)
		eventually(t, p.Fresh, "fresh")
	}
	require.Positive(t, b.Stats().Unreadable+a.Stats().Unreadable, "and counted")
}

// Any number can stand in a row for its transaction: of one that is to come, is under way, or was pruned long ago. Such rows
// take no event's place, reset nobody, and do not stay.
func TestForgedTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)

	short := func(name string) *bus.Config {
		cfg := quick(name)
		cfg.Retention = 4 * time.Second
		return cfg
	}
	a, b := start(t, pool, short("a")), start(t, pool, short("b"))
	publisher, err := bus.NewPostgres(pool, quick("publisher")) // announces nothing
	require.NoError(t, err)

	real := 0
	deliver := func(forge string, args ...any) {
		t.Helper()
		tx, err := publisher.Begin(ctx)
		require.NoError(t, err)
		var xid uint64
		require.NoError(t, tx.QueryRow(ctx, "SELECT pg_current_xact_id()").Scan(&xid))
		_, err = pool.Exec(ctx, forge, append([]any{xid}, args...)...)
		require.NoError(t, err)
		key := fmt.Sprint("real ", real)
		real++
		tx.Invalidate("item", key)
		require.NoError(t, tx.Commit(ctx))
		_, err = pool.Exec(ctx, forge, append([]any{xid}, args...)...)
		require.NoError(t, err)

		for _, p := range []*pod{a, b} {
			eventually(t, func() bool { return p.has(key) }, "%s is delivered", key)
		}
	}
	for range 10 {
		// The name of a transaction under way, and those of the next ones.
		deliver("INSERT INTO pgcoherence.event (xid, n, topic, keys) VALUES ($1, 0, 'other', '{x}')")
		deliver("INSERT INTO pgcoherence.event (xid, n, topic, keys) SELECT ($1::xid8::text::bigint + i)::text::xid8, 0, 'item', '{x}' FROM generate_series(1, 20) AS i")
		// One that everything is before, and one that was pruned.
		deliver("INSERT INTO pgcoherence.event (xid, n, topic, keys) SELECT '18446744073709551615', n, 'item', '{x}' FROM generate_series(0, 9) AS n WHERE $1::xid8 > '0'")
		deliver("INSERT INTO pgcoherence.event (xid, n, topic, keys) SELECT '3', n, 'item', '{x}' FROM generate_series(0, 9) AS n WHERE $1::xid8 > '0'")
	}

	eventually(t, func() bool {
		publish(t, a, "more")
		var forged int
		err := pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) OR xid = '3'").Scan(&forged)
		return err == nil && forged == 0
	}, "they are deleted")

	for _, p := range []*pod{a, b} {
		require.Equal(t, []bus.Reason{bus.ReasonStart}, p.reasons())
		require.Zero(t, p.Stats().Reconnects, p.Stats().LastError)
	}

	require.Positive(t, a.Stats().Unreadable+b.Stats().Unreadable, "and counted")
}

// What the other tables can hold stops no pod either.
func TestEveryTableCanBeRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	for _, statement := range []string{
		"UPDATE pgcoherence.pod SET pos_n = -1",
		"UPDATE pgcoherence.pod SET pos_n = 9223372036854775807, pos_xmax = '18446744073709551615'",
		"UPDATE pgcoherence.pod SET beat = 9223372036854775807, watched_ms = -5, trusts_ms = -5",
		"UPDATE pgcoherence.pod SET watched_ms = 9223372036854775807, trusts_ms = NULL, lease_ms = NULL",
		"UPDATE pgcoherence.pod SET epoch = repeat('x', 1000000), name = repeat('n', 1000000)",
		"UPDATE pgcoherence.pod SET beat_at = 'infinity', started = '-infinity', info = 'null'",
		`UPDATE pgcoherence.pod SET info = '[1, {"version": 3}]'`,
		"INSERT INTO pgcoherence.pod (id, name, pos_n, beat) VALUES (gen_random_uuid(), '', -9223372036854775808, -9223372036854775808)",
		"DELETE FROM pgcoherence.pod",
		"UPDATE pgcoherence.setting SET pod_lease = interval '178000000 years'",
		"UPDATE pgcoherence.setting SET next_pod_lease = interval '-3 years'",
		"UPDATE pgcoherence.epoch SET kept = '{NULL,3:3:}', kept_ms = '{1,NULL,-7}'",
		"UPDATE pgcoherence.epoch SET kept = ARRAY[['3:3:','4:4:']]::pg_snapshot[], kept_ms = '{9223372036854775807}'",
		"UPDATE pgcoherence.epoch SET born = 'infinity', prepared = '{NULL,3}'",
		"DELETE FROM pgcoherence.setting",
	} {
		_, err := pool.Exec(ctx, statement)
		require.NoError(t, err, statement)
		eventually(t, func() bool { // what is published while an epoch ends is part of the reset
			_, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{statement}})
			return err == nil && b.has(statement)
		}, statement)
		beats := b.Stats().Beats
		eventually(t, func() bool { return b.Stats().Beats > beats+2 && a.Fresh() && b.Fresh() }, statement)
		require.Zero(t, a.Stats().Reconnects+b.Stats().Reconnects, "%s: %s %s", statement, a.Stats().LastError, b.Stats().LastError)
		_, err = a.Pods(ctx)
		require.NoError(t, err, statement)
	}

	for _, p := range []*pod{a, b} {
		require.Zero(t, p.Stats().Reconnects, p.Stats().LastError)
	}

	start(t, pool, quick("late")) // and one can start
}

// The SQL functions refuse what could not be read as it was meant.
func TestStageRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	for call, want := range map[string]string{
		"stage('item', ARRAY['1', NULL], false)":                        "a key is null",
		"stage('item', ARRAY[['1'], ['2']], false)":                     "2 dimensions",
		"stage('item', '{}', NULL)":                                     "whole is null",
		"stage('', '{}', true)":                                         "want 1 to 200 bytes",
		"stage(NULL, '{}', true)":                                       "want 1 to 200 bytes",
		"stage(repeat('x', 201), '{}', true)":                           "want 1 to 200 bytes",
		"stage('item', ARRAY[repeat('k', 1025)], false)":                "more than 1024 bytes",
		"invalidate('item', VARIADIC ARRAY['1', repeat('k', 5000)])":    "more than 1024 bytes",
		"invalidate_all(repeat('x', 201))":                              "want 1 to 200 bytes",
		"invalidate('item', VARIADIC ARRAY['1', NULL]), pg_sleep(NULL)": "",
	} {
		_, err := pool.Exec(ctx, "SELECT pgcoherence."+call)
		if want == "" {
			require.NoError(t, err, call)
			continue
		}
		require.ErrorContains(t, err, want, call)
		require.ErrorContains(t, err, "22023", call)
	}
}
