package cache_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// A key that cannot be sent makes the commit fail, whether or not somebody looks at the error.
func TestInvalidateTx_ABadKeyFailsTheCommit(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	b := pod(t, pool)
	c := open(t, b, items(pool), config())
	require.Equal(t, 0, get(t, c, "1"))
	for name, invalidate := range map[string]func(tx pgx.Tx){
		"key": func(tx pgx.Tx) { _ = c.InvalidateTx(tx, "1", "\xff") },
		"tag": func(tx pgx.Tx) { _ = c.InvalidateTagsTx(tx, "\x00") },
		"in a savepoint": func(tx pgx.Tx) {
			inner, err := tx.Begin(t.Context())
			require.NoError(t, err)
			_ = c.InvalidateTx(inner, "1", "\xff")
			require.NoError(t, inner.Commit(t.Context()))
		},
	} {
		tx, err := b.Begin(t.Context())
		require.NoError(t, err)
		update(t, tx, "1", 9)
		invalidate(tx)
		require.ErrorIs(t, tx.Commit(t.Context()), cache.ErrKey, name)
		v, err := c.GetFresh(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, 0, v, "it was rolled back")
	}

	tx, err := b.Begin(t.Context())
	require.NoError(t, err)
	inner, err := tx.Begin(t.Context())
	require.NoError(t, err)
	_ = c.InvalidateTx(inner, "\xff")
	require.NoError(t, inner.Rollback(t.Context()))
	require.NoError(t, tx.Commit(t.Context()), "it went with its savepoint")

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	_, err = b.InSQL(t.Context(), db, func(_ *sql.Tx, s *bus.Staging) error {
		_ = c.InvalidateSQL(s, "\xff")
		return nil
	})
	require.ErrorIs(t, err, cache.ErrKey)
}

// Keys, tags and everything, through every way into a transaction.
func TestInvalidate_EveryWay(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	b := pod(t, pool)
	rows := newTable()
	rows.set("a", 1, "x")
	c := open(t, b, rows, config())
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()

	inSQL := func(note func(*bus.Staging) error) error {
		_, err := b.InSQL(t.Context(), db, func(_ *sql.Tx, s *bus.Staging) error { return note(s) })
		return err
	}

	staged := func(stage func(pgx.Tx) (*bus.Staged, error)) (err error) {
		var s *bus.Staged
		err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			s, err = stage(tx)
			return err
		})
		s.Committed()
		return err
	}

	stagedSQL := func(stage func(*sql.Tx) (*bus.Staged, error)) error {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		s, err := stage(tx)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		s.Committed()
		return nil
	}

	ctx := t.Context()
	for name, invalidate := range map[string]func() error{
		"Stage":     func() error { return staged(func(tx pgx.Tx) (*bus.Staged, error) { return c.Stage(ctx, tx, "a") }) },
		"StageTags": func() error { return staged(func(tx pgx.Tx) (*bus.Staged, error) { return c.StageTags(ctx, tx, "x") }) },
		"StageAll":  func() error { return staged(func(tx pgx.Tx) (*bus.Staged, error) { return c.StageAll(ctx, tx) }) },
		"StageSQL": func() error {
			return stagedSQL(func(tx *sql.Tx) (*bus.Staged, error) { return c.StageSQL(ctx, tx, "a") })
		},
		"StageTagsSQL": func() error {
			return stagedSQL(func(tx *sql.Tx) (*bus.Staged, error) { return c.StageTagsSQL(ctx, tx, "x") })
		},
		"StageAllSQL": func() error {
			return stagedSQL(func(tx *sql.Tx) (*bus.Staged, error) { return c.StageAllSQL(ctx, tx) })
		},
		"InvalidateSQL":     func() error { return inSQL(func(s *bus.Staging) error { return c.InvalidateSQL(s, "a") }) },
		"InvalidateTagsSQL": func() error { return inSQL(func(s *bus.Staging) error { return c.InvalidateTagsSQL(s, "x") }) },
		"InvalidateAllSQL":  func() error { return inSQL(func(s *bus.Staging) error { return c.InvalidateAllSQL(s) }) },
		"Staging.Add": func() error {
			return inSQL(func(s *bus.Staging) error {
				e, err := c.Event([]string{"b"}, "x")
				s.Add(e)
				return err
			})
		},
		"Forget": func() error { return c.Forget("a") },
	} {
		get(t, c, "a")
		require.NoError(t, invalidate(), name)
		_, err := c.Peek("a")
		require.ErrorIs(t, err, cache.ErrNotCached, name)
	}

	require.ErrorIs(t, c.InvalidateSQL(nil, "a"), cache.ErrForeignTx)
	require.ErrorIs(t, c.Forget("\xff"), cache.ErrKey)
}

// Forget drops every key that can be one, and asks the bus to look for the trigger's event.
func TestForget_AsksForASweep(t *testing.T) {
	t.Parallel()
	b := newFake()
	c := open(t, b, cache.Func(func(context.Context, string) (int, error) { return 1, nil }), config())
	sweeps := func() (n int) {
		b.set(func(f *fake) { n = f.sweeps })
		return n
	}

	for _, key := range []string{"a", "b"} {
		get(t, c, key)
	}

	require.ErrorIs(t, c.Forget("a", "\xff", "b"), cache.ErrKey)

	for _, key := range []string{"a", "b"} {
		_, err := c.Peek(key)
		require.ErrorIs(t, err, cache.ErrNotCached, key)
	}

	require.Equal(t, 1, sweeps())
	require.NoError(t, c.Forget("a"))
	require.Equal(t, 2, sweeps())
	require.NoError(t, c.Forget())
	require.ErrorIs(t, c.Forget("\xff"), cache.ErrKey)
	require.Equal(t, 2, sweeps(), "nothing was forgotten")
}

func TestNotFound_NoRowsIsOne(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"pgx": pgx.ErrNoRows, "sql": fmt.Errorf("user: %w", sql.ErrNoRows)} {
		loads := 0
		load := cache.Func(func(context.Context, string) (int, error) { loads++; return 0, err })
		c := open(t, newFake(), load, config())
		for range 2 {
			_, got := c.Get(t.Context(), "a")
			require.ErrorIs(t, got, cache.ErrNotFound, name)
			require.ErrorIs(t, got, err, name)
		}
		require.Equal(t, 1, loads, name)
		many, got := c.GetMany(t.Context(), []string{"a", "b"})
		require.NoError(t, got)
		require.Empty(t, many)

		cfg := impatient(config())
		cfg.NotFound = func(error) bool { return false }
		c = open(t, newFake(), load, cfg)
		_, got = c.Get(t.Context(), "a")
		require.ErrorIs(t, got, err)
		require.NotErrorIs(t, got, cache.ErrNotFound)
	}
}

func TestPeek_TellsAbsentFromUnknown(t *testing.T) {
	t.Parallel()
	rows := newTable()
	rows.set("a", 1)
	c := open(t, newFake(), rows, config())
	get(t, c, "a")
	_, _ = c.Get(t.Context(), "absent")
	before := c.Stats()
	v, err := c.Peek("a")
	require.NoError(t, err)
	require.Equal(t, 1, v)
	_, err = c.Peek("absent")
	require.ErrorIs(t, err, cache.ErrNotFound)
	_, err = c.Peek("unknown")
	require.ErrorIs(t, err, cache.ErrNotCached)
	s := c.Stats()
	require.Equal(t, [3]int64{1, 1, 1}, [3]int64{s.PeeksHeld, s.PeeksAbsent, s.PeeksUnknown})
	require.Equal(t, before.Hits+before.NegativeHits+before.Misses, s.Hits+s.NegativeHits+s.Misses)
}

func TestKeys_ListsWhatMayBeServed(t *testing.T) {
	t.Parallel()
	b, rows := newFake(), newTable()
	for _, key := range []string{"a", "b", "c", "d"} {
		rows.set(key, 1, "tag "+key)
	}

	c := open(t, b, rows, config())
	for _, key := range []string{"a", "b", "c", "d", "absent"} {
		_, _ = c.Get(t.Context(), key)
	}

	require.Equal(t, 4, c.Len())
	b.key(200, "b", cache.TagKey("tag c"))
	require.Equal(t, []string{"a", "d"}, slices.Sorted(c.Keys()))

	for key := range c.Keys() {
		get(t, c, key) // nothing is locked
		break
	}

	stale(b, time.Hour)
	require.Empty(t, slices.Sorted(c.Keys()))
}

func TestOnEvict_SaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		why := map[string]cache.EvictReason{}
		b, rows := newFake(), newTable()
		cfg := config()
		cfg.Size, cfg.TTL = 3, time.Minute
		var c *cache.Cache[string, int]
		cfg.OnEvict = func(key string, _ int, reason cache.EvictReason) {
			c.Stats() // it may use the cache
			mu.Lock()
			defer mu.Unlock()
			why[key] = reason
		}
		c, err := cache.New(b, "item", rows, cfg)
		require.NoError(t, err)
		load := func(keys ...string) {
			for _, key := range keys {
				rows.set(key, 1, "tag "+key)
				get(t, c, key)
			}
		}
		load("invalidated")
		b.key(200, "invalidated")
		load("expired")
		time.Sleep(2 * time.Minute)
		load("expired")
		synctest.Wait()
		require.Equal(t, map[string]cache.EvictReason{
			"invalidated": cache.EvictedInvalidated, "expired": cache.EvictedExpired,
		}, why)

		_, err = c.GetFresh(t.Context(), "expired")
		require.NoError(t, err)
		load("1", "2", "3", "4", "5")
		require.NoError(t, c.Close())
		synctest.Wait()
		reasons := map[cache.EvictReason]int{}
		for _, r := range why {
			reasons[r]++
		}
		require.Equal(t, 3, reasons[cache.EvictedCleared])
		require.Positive(t, reasons[cache.EvictedForRoom])
		require.Equal(t, "replaced", cache.EvictedReplaced.String())
	})
}

// Warm waits for the bus, loads in batches, and says what it could not load.
func TestWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := &batches{rows: map[string]int{}}
		var keys []string
		for i := range 2500 {
			key := fmt.Sprint(i)
			keys = append(keys, key)
			rows.rows[key] = i
		}
		b := newFake()
		stale(b, -1)
		c := open(t, b, cache.BatchFunc[string, int](rows.load), config())
		done := make(chan error, 1)
		go func() { done <- c.Warm(t.Context(), append(keys, "absent", "\xff")...) }()
		time.Sleep(time.Minute)
		require.Zero(t, c.Len())
		stale(b, 0)
		var failed *cache.KeysError[string]
		require.ErrorAs(t, <-done, &failed)
		require.Len(t, failed.Errors, 1)
		require.Equal(t, 2500, c.Len())
		require.EqualValues(t, 3, c.Stats().Loads)

		ended, end := context.WithCancel(t.Context())
		end()
		stale(b, time.Hour)
		require.ErrorIs(t, c.Warm(ended, "a"), context.Canceled)
	})
}

// Two caches of one topic are registered together.
func TestName_TwoCachesOfOneTopic(t *testing.T) {
	t.Parallel()
	b, registry := newFake(), prometheus.NewPedanticRegistry()
	for _, name := range []string{"", "items by name"} {
		cfg := config()
		cfg.Name = name
		require.NoError(t, registry.Register(open(t, b, newTable(), cfg)))
	}
	_, err := registry.Gather()
	require.NoError(t, err)
}
