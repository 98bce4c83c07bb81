package cache_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// keyCase is a type of keys on a column type: a key, and the SQL literal of the same value.
type keyCase struct {
	column, literal string
	run             func(t *testing.T, k *keyRig, column, literal string)
}

func keyOn[K comparable](column, literal string, key K) keyCase {
	return keyCase{column, literal, func(t *testing.T, k *keyRig, column, literal string) {
		t.Helper()
		checkWriters(t, k, column, literal, key)
	}}
}

// keyRig is what all cases share.
type keyRig struct {
	pool *pgxpool.Pool
	bus  *bus.Postgres
	n    int
}

// Every type of keys that needs no KeyString, on every column type that it can stand for, is reached by every writer: Go,
// a trigger, and the SQL function, whatever the writer's session has set.
func TestKeyTypes_AreReachedByEveryWriter(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	k := &keyRig{pool: pool, bus: pod(t, pool)}
	id := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	quoted := "'" + id.String() + "'"
	var sum [32]byte
	copy(sum[:], `a\b'c`+"\x00\x01\xff")
	bytea := `'\x` + hex.EncodeToString(sum[:]) + `'`
	short := [2]byte{0x5c, 0xff}

	for _, c := range []keyCase{
		keyOn("text", "'a'", "a"), keyOn("varchar(10)", "'a b'", "a b"), keyOn("char(4)", "'ab'", "ab  "),
		keyOn("char(4)", "'ab'", "ab"), keyOn("character(3)", "'äß'", "äß "), keyOn("char", "'a'", "a"), keyOn("char(2)", "''", "  "),
		keyOn("bytea", `'\x5c'`, `\`), keyOn("bytea", `'\x6162'`, "6162"), keyOn("bytea", `'\x5cff'`, "5cff"),
		keyOn("uuid", quoted, id.String()), keyOn("bigint", "-7", "-7"), keyOn("bytea", `'\x6162'`, "ab"),
		keyOn("bytea", `'\x00ff'`, "00ff"), keyOn("text", `'\x6162'`, `\x6162`), keyOn("date", "'2026-01-31'", "2026-01-31"),
		keyOn[int64]("bigint", "-7", -7), keyOn("integer", "7", 7), keyOn[int16]("smallint", "7", 7),
		keyOn[int64]("numeric(20,2)", "7", 7), keyOn[int32]("text", "'7'", 7), keyOn("char(5)", "'7'", 7),
		keyOn[uint64]("numeric", "18446744073709551615", 1<<64-1), keyOn[uint32]("bigint", "7", 7), keyOn[uint8]("oid", "7", 7),
		keyOn("uuid", quoted, id), keyOn("text", quoted, id), keyOn("bytea", `'\x`+hex.EncodeToString(id[:])+`'`, id),
		keyOn("text", "'"+strings.ToUpper(id.String())+"'", id),
		keyOn("uuid", quoted, [16]byte(id)), keyOn("bytea", `'\x`+hex.EncodeToString(id[:])+`'`, [16]byte(id)),
		keyOn("text", "'"+hex.EncodeToString(id[:])+"'", [16]byte(id)),
		keyOn("bytea", bytea, sum), keyOn("text", "'"+hex.EncodeToString(sum[:])+"'", sum),
		keyOn("bytea", `'\x5cff'`, short), keyOn("text", "'5CFF'", short),
	} {
		k.n++
		t.Run(fmt.Sprintf("%s %d", c.column, k.n), func(t *testing.T) { c.run(t, k, c.column, c.literal) })
	}
}

func checkWriters[K comparable](t *testing.T, k *keyRig, column, literal string, key K) {
	t.Helper()
	table := fmt.Sprintf("keyed_%d", k.n)
	_, err := k.pool.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE %s (id %s PRIMARY KEY, v int); INSERT INTO %[1]s VALUES (%[3]s, 0)`,
		table, column, literal))
	require.NoError(t, err)
	require.NoError(t, k.bus.WatchTable(t.Context(), bus.Watch{Table: table, Topic: table}))
	c, err := cache.New(k.bus, table, cache.Func(func(context.Context, K) (int, error) { return 1, nil }),
		&cache.Config[K, int]{Logger: quiet, KeyColumn: column})
	require.NoError(t, err)
	defer c.Close()

	for writer, write := range map[string]func() error{
		"Go": func() error {
			_, err := c.Invalidate(t.Context(), key)
			return err
		},
		"trigger": func() error {
			_, err := k.pool.Exec(t.Context(), "BEGIN; SET LOCAL bytea_output = 'escape'; UPDATE "+table+" SET v = v + 1; COMMIT")
			return err
		},
		"function": func() error {
			_, err := k.pool.Exec(t.Context(), fmt.Sprintf("SELECT pgcoherence.invalidate('%s', id::text) FROM %[1]s", table))
			return err
		},
		"function in an old session": func() error {
			_, err := k.pool.Exec(t.Context(),
				fmt.Sprintf("BEGIN; SET LOCAL bytea_output = 'escape'; SELECT pgcoherence.invalidate('%s', id::text) FROM %[1]s; COMMIT", table))
			return err
		},
	} {
		_, err := c.Get(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, write(), writer)
		eventually(t, func() bool { _, err := c.Peek(key); return err != nil }, "dropped by "+writer)
		require.Zero(t, c.Stats().ForeignKeys, writer)
	}
}

// A string of an event that no key of the cache can have is counted.
func TestKeyTypes_ForeignKeysAreCounted(t *testing.T) {
	t.Parallel()
	b := newFake()
	c := open(t, b, cache.Func(func(context.Context, int) (int, error) { return 1, nil }), &cache.Config[int, int]{Logger: quiet})
	b.key(200, "7", "seven", "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	require.EqualValues(t, 2, c.Stats().ForeignKeys)
	b.key(201, cache.TagKey("a tag"))
	require.EqualValues(t, 2+1, c.Stats().ForeignKeys+1, "a tag is no key")
}

func TestKeyTypes_ColumnsThatCannotWork(t *testing.T) {
	t.Parallel()

	check := func(column string, ok bool, open func(string) error) {
		t.Helper()
		if err := open(column); ok {
			require.NoError(t, err, column)
		} else {
			require.ErrorIs(t, err, cache.ErrConfig, column)
			require.ErrorContains(t, err, "KeyColumn", column)
		}
	}
	for column, ok := range map[string]bool{"bigint": true, "text": true, "uuid": false, "bytea": false, "boolean": false, "bigserial": false} {
		check(column, ok, opens[int64])
	}

	for column, ok := range map[string]bool{"uuid": true, "bytea": true, "text": true, "bigint": false, "inet": false} {
		check(column, ok, opens[[16]byte])
		check(column, ok, opens[uuid.UUID])
	}

	for column, ok := range map[string]bool{"bytea": true, "uuid": false} {
		check(column, ok, opens[[32]byte])
	}

	for column, ok := range map[string]bool{"numeric(20,2)": true, "numeric()": false, "numeric(x)": false, "character(4": false, "character(-1)": false} {
		check(column, ok, opens[int64])
	}

	for _, column := range []string{"uuid", "bytea", "bigint", "timestamptz", "character(4)", "varchar(10)"} {
		check(column, true, opens[string])
	}
}

func opens[K comparable](column string) error {
	c, err := cache.New(newFake(), "item", cache.Func(func(context.Context, K) (int, error) { return 0, nil }),
		&cache.Config[K, int]{KeyColumn: column})
	if err == nil {
		err = c.Close()
	}
	return err
}
