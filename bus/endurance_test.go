package bus_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestEndurance: mixed writers, and backends of every kind terminated at random all the while. Every event whose
// transaction committed reaches every pod, without a reset. What committed is read from a table that each writer fills
// in the same transaction, so that commits of unknown outcome are judged rightly. For a long run: -endurance 10m.
func TestEndurance(t *testing.T) {
	t.Parallel()
	db, admin := setup(t)
	_, err := admin.Exec(t.Context(), "CREATE TABLE done (key text PRIMARY KEY)")
	require.NoError(t, err)
	var pods []*pod
	for _, name := range []string{"a", "b", "c"} {
		cfg := quick(name)
		cfg.MaxCatchUp = 1_000_000
		cfg.MaxKeys = 1_000_000 // a sweep of many keys must not become "all of it": each key is looked for
		pods = append(pods, start(t, db.Pool(t), cfg))
	}
	ctx, cancel := context.WithTimeout(t.Context(), *endurance)
	defer cancel()
	e := &enduring{pods: pods}
	var wg sync.WaitGroup
	for w, write := range []func(context.Context, *pod, *pgxpool.Pool, string) error{
		e.inTx, e.inSavepoint, e.staged, e.stagedAndForgotten, e.inSQL, e.unaware, e.slow,
	} {
		pool := db.Pool(t)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// A commit under way is not broken off by the end of the test, so nothing is decided by the race.
				err := write(context.WithoutCancel(ctx), pods[i%len(pods)], pool, fmt.Sprintf("%d.%d", w, i))
				if err != nil {
					e.failed.Add(1)
				}
			}
		})
	}
	wg.Go(func() { e.terminate(ctx, t, db) })
	wg.Wait()

	var keys []string
	require.Eventually(t, func() bool {
		rows, err := admin.Query(t.Context(), "SELECT key FROM done")
		if err == nil {
			keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err == nil
	}, patience, 10*time.Millisecond)
	for _, p := range pods {
		var missing []string
		ok := func() bool {
			missing = missing[:0]
			for _, key := range keys {
				if !p.has(key) {
					missing = append(missing, key)
				}
			}
			return len(missing) == 0 && p.State() == bus.Live && p.Fresh()
		}
		if !waitFor(ok) {
			t.Fatalf("%d of %d events lost, such as %.200v; whole topic told %d times; %+v",
				len(missing), len(keys), missing, p.count("*"), p.Stats())
		}
		require.Equal(t, []bus.Reason{bus.ReasonStart}, p.reasons(), "nothing here calls for a reset")
	}
	t.Logf("%d events committed, %d writes failed, %d backends terminated, bus of a: %+v",
		len(keys), e.failed.Load(), e.terminated.Load(), pods[0].Stats())
	require.Greater(t, len(keys), 100)
	require.Positive(t, e.terminated.Load())
}

func waitFor(condition func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

type enduring struct {
	pods               []*pod
	failed, terminated atomic.Int64
}

// terminate ends a random backend every few milliseconds: of the pods' pools, of the writers, of the buses.
func (e *enduring) terminate(ctx context.Context, t *testing.T, db *pgtest.DB) {
	conn, err := pgx.Connect(ctx, db.Server.DSN("postgres"))
	if err != nil {
		t.Errorf("connect: %v", err)
		return
	}

	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	for ctx.Err() == nil {
		var n int64
		err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE datname = $1 AND backend_type = 'client backend' ORDER BY random() LIMIT 1) AS victim`, db.Name).Scan(&n)
		if err == nil {
			e.terminated.Add(n)
		}
		time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond)
	}
}

const insertDone = "INSERT INTO done VALUES ($1)"

func (e *enduring) inTx(ctx context.Context, p *pod, _ *pgxpool.Pool, key string) error {
	_, err := p.InTx(ctx, func(tx *bus.Tx) error {
		tx.Invalidate("item", key)
		_, err := tx.Exec(ctx, insertDone, key)
		return err
	})
	return err
}

func (e *enduring) inSavepoint(ctx context.Context, p *pod, _ *pgxpool.Pool, key string) error {
	_, err := p.InTx(ctx, func(tx *bus.Tx) error {
		if err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			savepoint, _ := bus.TxFrom(inner)
			savepoint.Invalidate("item", key)
			_, err := inner.Exec(ctx, insertDone, key)
			return err
		}); err != nil {
			return err
		}

		undone, err := tx.Begin(ctx)
		if err != nil {
			return err
		}

		savepoint, _ := bus.TxFrom(undone)
		savepoint.Invalidate("item", "undone")
		return undone.Rollback(ctx)
	})
	return err
}

func (e *enduring) staged(ctx context.Context, p *pod, pool *pgxpool.Pool, key string) error {
	return e.stage(ctx, p, pool, key, func(s *bus.Staged) { s.Committed() })
}

func (e *enduring) stagedAndForgotten(ctx context.Context, p *pod, pool *pgxpool.Pool, key string) error {
	return e.stage(ctx, p, pool, key, func(*bus.Staged) {})
}

func (e *enduring) stage(ctx context.Context, p *pod, pool *pgxpool.Pool, key string, after func(*bus.Staged)) error {
	var staged *bus.Staged
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, insertDone, key); err != nil {
			return err
		}
		staged, err = p.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{key}})
		return err
	})
	if err == nil {
		after(staged)
	}
	return err
}

func (e *enduring) inSQL(ctx context.Context, p *pod, pool *pgxpool.Pool, key string) error {
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	_, err := p.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
		s.Invalidate("item", key)
		_, err := tx.ExecContext(ctx, insertDone, key)
		return err
	})
	return err
}

// unaware is a writer that knows nothing of the library.
func (e *enduring) unaware(ctx context.Context, _ *pod, pool *pgxpool.Pool, key string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pgcoherence.invalidate('item', $1)", key); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertDone, key)
		return err
	})
}

// slow has its transaction id long before it commits.
func (e *enduring) slow(ctx context.Context, p *pod, _ *pgxpool.Pool, key string) error {
	_, err := p.InTx(ctx, func(tx *bus.Tx) error {
		if _, err := tx.Exec(ctx, insertDone, key); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		tx.Invalidate("item", key)
		return nil
	})
	return err
}
