package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// items loads from the table item.
func items(pool *pgxpool.Pool) cache.Loader[string, int] {
	return cache.Func(func(ctx context.Context, id string) (v int, err error) {
		err = pool.QueryRow(ctx, "SELECT value FROM item WHERE id = $1", id).Scan(&v)
		if errors.Is(err, pgx.ErrNoRows) {
			err = cache.ErrNotFound
		}
		return v, err
	})
}

func update(t testing.TB, tx pgx.Tx, id string, value int) {
	t.Helper()
	_, err := tx.Exec(t.Context(), "UPDATE item SET value = $2 WHERE id = $1", id, value)
	require.NoError(t, err)
}

func TestPostgres_InvalidateTx(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	b, other := pod(t, pool), pod(t, pool)
	c, far := open(t, b, items(pool), config()), open(t, other, items(pool), config())
	require.Equal(t, 0, get(t, c, "1"))
	require.Equal(t, 0, get(t, far, "1"))

	tx, err := b.Begin(t.Context())
	require.NoError(t, err)
	update(t, tx, "1", 1)
	require.NoError(t, c.InvalidateTx(tx, "1"))
	require.Equal(t, 0, get(t, c, "1"), "it is not committed yet")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, get(t, c, "1"), "read your writes")
	v, err := far.GetAfter(t.Context(), "1", tx.Receipt())
	require.NoError(t, err)
	require.Equal(t, 1, v, "on another pod as well")
	eventually(t, func() bool { return other.Applied(tx.Receipt()) }, "applied")
	require.Equal(t, 1, get(t, far, "1"))

	tx, err = b.Begin(t.Context())
	require.NoError(t, err)
	savepoint, err := tx.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.InvalidateAllTx(savepoint))
	require.NoError(t, savepoint.Rollback(t.Context()))
	require.NoError(t, tx.Commit(t.Context()))
	_, ok := peek(c, "1")
	require.True(t, ok, "nothing was invalidated")

	tx, err = b.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.InvalidateTagsTx(tx, "tag"))
	require.NoError(t, c.InvalidateAllTx(tx))
	require.NoError(t, tx.Commit(t.Context()))
	_, ok = peek(c, "1")
	require.False(t, ok)

	plain, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer plain.Rollback(context.Background())
	require.ErrorIs(t, c.InvalidateTx(plain, "1"), cache.ErrForeignTx)
	require.ErrorIs(t, c.InvalidateTx(plain, "\xff"), cache.ErrKey)
}

func TestPostgres_Stage(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	b := pod(t, pool)
	c := open(t, b, items(pool), config())
	require.Equal(t, 0, get(t, c, "1"))
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		update(t, tx, "1", 1)
		_, err := c.Stage(t.Context(), tx, "1") // its author forgets Committed
		return err
	}))
	eventually(t, func() bool { return get(t, c, "1") == 1 }, "the sweep announces it")

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "UPDATE item SET value = 2 WHERE id = '1'")
	require.NoError(t, err)
	staged, err := c.StageSQL(t.Context(), tx, "1")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	staged.Committed()
	require.Equal(t, 2, get(t, c, "1"))
	_, err = c.Stage(t.Context(), nil, "\xff")
	require.ErrorIs(t, err, cache.ErrKey)
	_, err = c.StageSQL(t.Context(), nil, "\xff")
	require.ErrorIs(t, err, cache.ErrKey)
}

// Whoever speaks SQL can invalidate keys and tags.
func TestPostgres_FromSQL(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	rows := newTable()
	rows.set("a", 1, "x")
	rows.set("b", 1, "x")
	c := open(t, pod(t, pool), rows, config())
	get(t, c, "a")
	get(t, c, "b")
	_, err := pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', 'a')")
	require.NoError(t, err)
	held := func(key string) bool { _, ok := peek(c, key); return ok }
	eventually(t, func() bool { return !held("a") }, "key")
	require.True(t, held("b"))
	_, err = pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', '~#' || 'x')")
	require.NoError(t, err)
	eventually(t, func() bool { return !held("b") }, "tag")
}

func TestPostgres_InSnapshot(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	s, err := cache.InSnapshot(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "SELECT 1")
		return err
	})
	require.NoError(t, err)
	require.False(t, s.IsZero())
	require.False(t, s.Standby())
	_, err = cache.InSnapshot(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "DELETE FROM item")
		return err
	})
	require.ErrorContains(t, err, "read-only")
	broken := errors.New("broken")
	_, err = cache.InSnapshot(t.Context(), pool, func(pgx.Tx) error { return broken })
	require.ErrorIs(t, err, broken)
}

// A pod that starts later, and one after another, uses what the others have put into the tier, but not what is from before an
// event that it was never told of.
func TestPostgres_TierForAPodThatStartsLater(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	tier := newTier()
	b := pod(t, pool)
	c := open(t, b, items(pool), tiered(tier))
	keys := []string{"1", "2", "3"}
	eventually(t, func() bool {
		for _, k := range keys {
			_, err := c.GetFresh(t.Context(), k)
			require.NoError(t, err)
		}
		return len(tier.keys()) == len(keys)
	}, "all are in the tier")
	at := ""
	for _, k := range tier.keys() {
		if strings.HasSuffix(k, ":1") {
			at = k
		}
	}
	require.NotEmpty(t, at)
	tier.mu.Lock()
	old := tier.data[at]
	tier.mu.Unlock()
	tx, err := b.Begin(t.Context())
	require.NoError(t, err)
	update(t, tx, "1", 1)
	require.NoError(t, c.InvalidateTx(tx, "1"))
	require.NoError(t, tx.Commit(t.Context()))
	eventually(t, func() bool { return c.Stats().TierDeletes > 0 }, "deleted")
	tier.mu.Lock()
	tier.data[at] = old // the tier lost the delete, or a slow pod set it again
	tier.mu.Unlock()

	// Before a pod has read what the log still holds, it trusts nothing in the tier.
	late := pod(t, pool)
	lc := open(t, late, items(pool), tiered(tier))
	require.Equal(t, 1, get(t, lc, "1"), "an event from before this pod's start counts against the tier's value")
	require.Equal(t, 0, get(t, lc, "2"))
	eventually(t, func() bool { return lc.Stats().TierSets == 2 }, "both are written back")

	// Afterwards it trusts what is not older than that. Remembered counts the log's events: this cache has seen no others.
	tier.mu.Lock()
	tier.data[at] = old
	tier.mu.Unlock()
	one := open(t, late, items(pool), tiered(tier))
	eventually(t, func() bool { return one.Stats().Remembered > 0 }, "the log is read")
	require.Equal(t, 0, get(t, one, "3"))
	require.EqualValues(t, 1, one.Stats().TierHits, "the tier is of use to a pod that starts later")
	require.Equal(t, 1, get(t, one, "1"))
	require.EqualValues(t, 1, one.Stats().TierHits)
}

// Two pods load from a standby that lags, while a third writes. No pod answers what is older than what it was told of, and
// in the end all are right.
func TestPostgres_Standby(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("\n*** NOT TESTED: -short: it starts two servers")
	}
	pgtest.RequireBinaries(t)
	primary := pgtest.NewServer(t, nil)
	pool := connect(t, primary.DSN(""))
	require.NoError(t, template.Make(t.Context(), primary.DSN("")))
	server, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	standby := connect(t, server.DSN(""))
	_, err = standby.Exec(t.Context(), "ALTER SYSTEM SET recovery_min_apply_delay = '60ms'")
	require.NoError(t, err)
	_, err = standby.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)

	load := cache.LoaderFunc[string, int](func(ctx context.Context, id string) (l cache.Loaded[int], err error) {
		from := standby
		if cache.WantPrimary(ctx) {
			from = pool
		}
		l.Snapshot, err = cache.InSnapshot(ctx, from, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SELECT value FROM item WHERE id = $1", id).Scan(&l.Value)
		})
		return l, err
	})
	writer := pod(t, pool)
	caches := []*cache.Cache[string, int]{open(t, writer, load, config()), open(t, pod(t, pool), load, config())}

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	floors := map[string]int{}
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id := strconv.Itoa(1 + rand.IntN(5))
				mu.Lock()
				floor := floors[id]
				mu.Unlock()
				v, err := caches[0].Get(ctx, id) // the writer's pod reads its writes
				if ctx.Err() == nil && (err != nil || v < floor) {
					t.Errorf("item %s: %d, %v; it is at least %d", id, v, err, floor)
				}
				_, _ = caches[1].Get(ctx, id)
			}
		})
	}
	for i := range 150 {
		id := strconv.Itoa(1 + i%5)
		_, err := writer.InTx(ctx, func(tx *bus.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE item SET value = $2 WHERE id = $1", id, i); err != nil {
				return err
			}
			return caches[0].InvalidateTx(tx, id)
		})
		require.NoError(t, err)
		mu.Lock()
		floors[id] = i
		mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // spreads the writes, decides nothing
	}
	cancel()
	wg.Wait()
	receipt, err := caches[0].Invalidate(t.Context(), "none")
	require.NoError(t, err)
	eventually(t, func() bool {
		for i := range 5 {
			id := strconv.Itoa(1 + i)
			for _, c := range caches {
				v, err := c.GetAfter(t.Context(), id, receipt)
				require.NoError(t, err)
				require.Equal(t, floors[id], v)
			}
		}
		return true
	}, "all are right")
	require.Positive(t, caches[0].Stats().RefusedFills["snapshot"])
}

func connect(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
