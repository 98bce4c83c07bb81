package lock_test

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// Leases that are released at the same time are all released, each with its own outcome: one that somebody waits for is
// handed over, one that was stolen is lost, and one whose row somebody has locked, or whose caller gives up, holds up
// nobody.
func TestReleaseTogether(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, _ := setup(t)
			cfg, err := pgxpool.ParseConfig(db.DSN)
			require.NoError(t, err)
			cfg.MaxConns = 20
			cfg.ConnConfig.RuntimeParams["default_transaction_isolation"] = string(level)
			pool, err := pgxpool.NewWithConfig(ctx, cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			b := bus.NewLocal()
			l, other := make1(t, b, pool, config("a")), make1(t, b, pool, config("b"))
			run(t, l)
			var leases []*lock.Lease
			for i := range 50 {
				lease, err := l.TryAcquire(ctx, strconv.Itoa(i))
				require.NoError(t, err)
				leases = append(leases, lease)
			}
			const locked, wanted, stolen = 7, 8, 9
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(ctx) }()
			_, err = tx.Exec(ctx, "SELECT FROM pgcoherence.lease WHERE key = $1 FOR UPDATE", strconv.Itoa(locked))
			require.NoError(t, err)
			got := queue(t, ctx, l, strconv.Itoa(wanted), 1)
			thief, err := other.Steal(ctx, strconv.Itoa(stolen))
			require.NoError(t, err)

			errs := make([]error, len(leases))
			hurried, cancel := context.WithCancel(ctx)
			var rest, stuck sync.WaitGroup
			stuck.Go(func() { errs[locked] = leases[locked].Release(hurried) })
			for i, lease := range leases {
				if i != locked {
					rest.Go(func() { errs[i] = lease.Release(ctx) })
				}
			}
			rest.Wait()
			for i := range leases {
				switch i {
				case stolen:
					require.ErrorIs(t, errs[i], lock.ErrLost)
				default:
					require.NoError(t, errs[i])
				}
			}
			o := <-got
			require.NoError(t, o.err)
			require.NoError(t, o.lease.Release(ctx))
			require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return thief.Guard(ctx, tx) }), "the thief's is still his")

			info, err := l.Inspect(ctx, strconv.Itoa(locked))
			require.NoError(t, err)
			require.True(t, info.Held, "nobody has released it yet")
			cancel()
			stuck.Wait()
			require.ErrorIs(t, errs[locked], context.Canceled)
			require.NoError(t, tx.Rollback(ctx))
			if err := leases[locked].Release(ctx); err != nil { // it went on behind the caller's back, and was done by then
				require.ErrorIs(t, err, lock.ErrReleased)
			}
			for i := range leases {
				info, err := l.Inspect(ctx, strconv.Itoa(i))
				require.NoError(t, err)
				require.Equal(t, i == stolen, info.Held, i)
			}
		})
	}
}
