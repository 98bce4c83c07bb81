package bus_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestSweepReadsTheSame: a sweep that reads names first finds what one that reads all events finds, whatever is in the log and
// whatever was announced: events with and without names, names that a writer gave twice, transactions in progress in the
// base, rolled back ones.
func TestSweepReadsTheSame(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	start(t, pool, quick("epoch")).stop()
	p, err := bus.NewPostgres(pool, quick("a"))
	require.NoError(t, err)
	conn := ownSession(t, db.DSN)

	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.MaxConns = 20 // for all that are open at once
	writers, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(writers.Close)

	rapid.Check(t, func(t *rapid.T) {
		// Some transactions are open when the base is taken.
		announced := map[uint64][]int32{}
		var open []pgx.Tx
		base := ""
		for i := range rapid.IntRange(0, 12).Draw(t, "transactions") {
			if base == "" && rapid.IntRange(0, 3).Draw(t, "base here") == 0 {
				require.NoError(t, pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&base))
			}
			tx, err := writers.Begin(ctx)
			require.NoError(t, err)
			var xid uint64
			require.NoError(t, tx.QueryRow(ctx, "SELECT pg_current_xact_id()").Scan(&xid))
			for range rapid.IntRange(0, 4).Draw(t, "events") {
				n := rapid.Int32Range(-1, 2).Draw(t, "n")
				number := any(n)
				if rapid.IntRange(0, 4).Draw(t, "unnamed") == 0 {
					number = nil
				}
				_, err := tx.Exec(ctx, "INSERT INTO pgcoherence.event (n, topic, keys) VALUES ($1, 'item', ARRAY[$2::text])", number, fmt.Sprint(i, n))
				require.NoError(t, err)
				if number != nil && rapid.Bool().Draw(t, "announced") {
					announced[xid] = append(announced[xid], n)
				}
			}
			switch rapid.IntRange(0, 5).Draw(t, "end") {
			case 0:
				require.NoError(t, tx.Rollback(ctx))
			case 1, 2:
				open = append(open, tx)
			default:
				require.NoError(t, tx.Commit(ctx))
			}
		}
		if base == "" {
			require.NoError(t, pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&base))
		}
		var left []pgx.Tx // stay open for the read
		defer func() {
			for _, tx := range left {
				_ = tx.Rollback(ctx)
			}
		}()
		for _, tx := range open {
			if rapid.IntRange(0, 3).Draw(t, "stays open") > 0 {
				require.NoError(t, tx.Commit(ctx))
			} else {
				left = append(left, tx)
			}
		}

		all, rest, err := p.SweepReads(ctx, conn, base, announced)
		require.NoError(t, err)
		require.Equal(t, all, rest, "from %s", base)
	})
}

// TestSweepOfManyNames: more names than a sweep reads are announced topic by topic, and so are more events than MaxCatchUp that
// no pod has announced.
func TestSweepOfManyNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	start(t, pool, quick("epoch")).stop()
	conn := ownSession(t, db.DSN)
	for _, events := range []int{bus.DefaultMaxCatchUp + 1, bus.MaxNames + 1} {
		p, err := bus.NewPostgres(pool, quick("a"))
		require.NoError(t, err)
		var base string
		require.NoError(t, pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&base))
		_, err = pool.Exec(ctx, "INSERT INTO pgcoherence.event (n, topic, keys) SELECT i, 'item', ARRAY[i::text] FROM generate_series(1, $1) AS i", events)
		require.NoError(t, err)

		all, left, err := p.SweepReads(ctx, conn, base, nil)
		require.NoError(t, err)
		require.Equal(t, all, left)
		require.Len(t, left, 2, "the head, and the whole topic")
		require.Contains(t, left[1], "true")
	}
}
