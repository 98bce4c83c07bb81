package lock_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

var levels = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// While a guarded transaction is open nobody is granted the lease, whether it was released, stolen, or has expired; the
// moment it has ended somebody is. What it wrote is there before the successor begins.
func TestGuardExcludes(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		for name, end := range map[string]func(t *testing.T, l *lock.Locker, lease *lock.Lease){
			"released": func(t *testing.T, _ *lock.Locker, lease *lock.Lease) {
				t.Helper()
				require.NoError(t, lease.Release(within(t)))
			},
			"expired": func(t *testing.T, l *lock.Locker, lease *lock.Lease) {
				t.Helper()
				eventually(t, func() bool {
					info, err := l.Inspect(within(t), lease.Key())
					return err == nil && !info.Held
				}, "expires, for nobody renews it")
			},
			"stolen": func(*testing.T, *lock.Locker, *lock.Lease) {},
		} {
			t.Run(string(level)+" "+name, func(t *testing.T) {
				t.Parallel()
				ctx := within(t)
				_, pool := setup(t)
				old := make1(t, nil, pool, config("old")) // not run: nobody renews
				if name == "expired" {
					old = old.Hasty(500 * time.Millisecond)
				}
				next, _ := start(t, nil, pool, config("new"))
				lease, err := old.TryAcquire(ctx, "k")
				require.NoError(t, err)
				tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
				require.NoError(t, err)
				defer func() { _ = tx.Rollback(ctx) }()
				require.NoError(t, lease.Guard(ctx, tx))
				_, err = tx.Exec(ctx, "UPDATE account SET balance = balance + 1, writer = $1 WHERE id = 1", lease.Token())
				require.NoError(t, err)
				end(t, next, lease)

				if name != "stolen" {
					var held *lock.HeldError
					_, err = next.TryAcquire(ctx, "k")
					require.ErrorAs(t, err, &held)
					require.True(t, held.Guarded, "%v", err)
				}
				type outcome struct {
					lease *lock.Lease
					err   error
				}
				got := make(chan outcome, 1)
				go func() {
					take := next.Acquire
					if name == "stolen" {
						take = next.Steal
					}
					lease, err := take(ctx, "k")
					got <- outcome{lease, err}
				}()
				if name == "stolen" {
					eventually(t, func() bool {
						info, err := next.Inspect(ctx, "k")
						return err == nil && !info.Held
					}, "the theft is visible although the transaction is open")
				}
				// It is still guarded for many tries.
				tries := next.Stats().Tries
				eventually(t, func() bool { return next.Stats().Tries > tries+5 }, "it is tried")
				require.Empty(t, got)
				require.NoError(t, tx.Commit(ctx), "a guarded transaction commits whatever has become of the lease")
				o := <-got
				require.NoError(t, o.err)
				require.Greater(t, o.lease.Token(), lease.Token())
				var writer int64
				require.NoError(t, pool.QueryRow(ctx, "SELECT writer FROM account WHERE id = 1").Scan(&writer))
				require.Equal(t, lease.Token(), writer)
				require.NoError(t, o.lease.Release(ctx))
			})
		}
	}
}

// A waiter that is handed the lease while a transaction is guarded by it does not get it before that transaction has
// ended. And what it then gets, no snapshot from before can guard with any more.
func TestGuardExcludesClaim(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			b := bus.NewLocal()
			old, next := make1(t, b, pool, config("old")), make1(t, b, pool, config("new"))
			run(t, next)
			lease, err := old.TryAcquire(ctx, "k")
			require.NoError(t, err)
			got := queue(t, ctx, next, "k", 1)
			guarded, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			defer func() { _ = guarded.Rollback(ctx) }()
			require.NoError(t, lease.Guard(ctx, guarded))
			before, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			defer func() { _ = before.Rollback(ctx) }()
			var one int
			require.NoError(t, before.QueryRow(ctx, "SELECT 1 FROM account WHERE id = 1").Scan(&one), "it has its snapshot")

			require.NoError(t, lease.Release(ctx))
			claims := next.Stats().Claims
			eventually(t, func() bool { return next.Stats().Claims > claims+3 }, "it is claimed")
			require.Empty(t, got)
			require.NoError(t, guarded.Commit(ctx))
			o := <-got
			require.NoError(t, o.err)
			require.Greater(t, o.lease.Token(), lease.Token())

			// What Guard asks; the lease itself refuses because it was released.
			err = before.QueryRow(ctx, "SELECT 1 FROM pgcoherence.lease WHERE key = 'k' AND token = $1 FOR KEY SHARE", lease.Token()).Scan(&one)
			if level == pgx.ReadCommitted {
				require.ErrorIs(t, err, pgx.ErrNoRows)
			} else {
				var pgErr *pgconn.PgError
				require.ErrorAs(t, err, &pgErr)
				require.Equal(t, "40001", pgErr.Code)
			}
		})
	}
}

// A holder that does not know that it has lost the lease cannot guard a transaction any more, at any level, also one
// whose snapshot is from before.
func TestGuardAfterLoss(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			old := make1(t, nil, pool, config("old")) // hears of nothing
			thief := make1(t, nil, pool, config("new"))
			lease, err := old.TryAcquire(ctx, "k")
			require.NoError(t, err)
			before, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			defer func() { _ = before.Rollback(ctx) }()
			var one int
			require.NoError(t, before.QueryRow(ctx, "SELECT 1 FROM account WHERE id = 1").Scan(&one), "it has its snapshot")
			stolen, err := thief.Steal(ctx, "k")
			require.NoError(t, err)
			require.NoError(t, lease.Err(), "it does not know")

			err = lease.Guard(ctx, before)
			if level == pgx.ReadCommitted {
				require.ErrorIs(t, err, lock.ErrNotGuarded)
			} else {
				var pgErr *pgconn.PgError
				require.ErrorAs(t, err, &pgErr)
				require.Equal(t, "40001", pgErr.Code)
			}
			after, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			require.ErrorIs(t, lease.Guard(ctx, after), lock.ErrNotGuarded)
			require.NoError(t, stolen.Guard(ctx, after), "and the new owner can")
			require.NoError(t, after.Commit(ctx))
			require.Equal(t, int64(2), old.Stats().GuardsRefused)
		})
	}
}

// Whichever statement gives the lease to somebody else, a snapshot from before it does not guard for the old token: a
// grant leaves its mark on the old version of the row although it changes no indexed column.
func TestGuardUnderOldSnapshot(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(ctx context.Context, l *lock.Locker) (*lock.Lease, error){
		"acquire_free": func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) { return l.TryAcquire(ctx, "k") },
		"acquire": func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) {
			return l.Steal(ctx, "k")
		},
		"acquire_many": func(ctx context.Context, l *lock.Locker) (*lock.Lease, error) {
			leases, err := l.TryAcquireMany(ctx, "k")
			if err != nil {
				return nil, err
			}
			return leases[0], nil
		},
		"claim": nil,
	} {
		for _, level := range levels[1:] {
			for _, guarded := range []bool{false, true} { // by a transaction that has ended: its lock left a trace
				t.Run(fmt.Sprintf("%s %s guarded=%v", name, level, guarded), func(t *testing.T) {
					t.Parallel()
					ctx := within(t)
					_, pool := setup(t)
					old := make1(t, nil, pool, config("old"))
					next, _ := start(t, bus.NewLocal(), pool, config("new"))
					warm, err := next.TryAcquire(ctx, "warm") // it knows the incarnation from here on
					require.NoError(t, err)
					require.NoError(t, warm.Release(ctx))
					lease, err := old.TryAcquire(ctx, "k")
					require.NoError(t, err)
					stale, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
					require.NoError(t, err)
					defer func() { _ = stale.Rollback(context.Background()) }()

					var one int
					require.NoError(t, stale.QueryRow(ctx, "SELECT 1 FROM account WHERE id = 1").Scan(&one), "it has its snapshot")

					var waiting <-chan outcome
					if take == nil {
						waiting = queue(t, ctx, next, "k", 1)
					}

					if guarded {
						tx, err := pool.Begin(ctx)
						require.NoError(t, err)
						require.NoError(t, lease.Guard(ctx, tx))
						// A renewal beside the guard: the row's locker and its updater become a multixact.
						_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET expires_at = clock_timestamp() + interval '15 s' WHERE key = 'k'")
						require.NoError(t, err)
						require.NoError(t, tx.Commit(ctx))
					}

					require.NoError(t, old.Forget(lease).Release(ctx))

					var successor *lock.Lease
					if take == nil {
						o := <-waiting
						successor, err = o.lease, o.err
					} else {
						successor, err = take(ctx, next)
					}

					require.NoError(t, err)
					require.Greater(t, successor.Token(), lease.Token())
					err = lease.Guard(ctx, stale)
					var pgErr *pgconn.PgError
					require.ErrorAs(t, err, &pgErr)
					require.Equal(t, "40001", pgErr.Code)
				})
			}
		}
	}
}

// A released lease guards nothing, also where its holder's process did not take part in the release.
func TestGuardAfterRelease(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET expires_at = '-infinity'")
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(ctx) }()

	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrNotGuarded)
	require.ErrorIs(t, lease.Guard(ctx, nil), lock.ErrNotGuarded)
	require.ErrorIs(t, lease.GuardSQL(ctx, nil), lock.ErrNotGuarded)
	_ = lease.Release(ctx)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrReleased)
	require.ErrorIs(t, lease.GuardSQL(ctx, nil), lock.ErrReleased)
}

// A transaction of another database is not guarded, even if the database is a copy with the same row.
func TestGuardElsewhere(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	l := make1(t, nil, pool, config("a"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)

	_, other := setup(t)
	_, err = make1(t, nil, other, config("a")).TryAcquire(ctx, "k")
	require.NoError(t, err, "the same key there, and the same token")
	tx, err := other.Begin(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrNotGuarded)
	require.NoError(t, tx.Rollback(ctx))

	_, err = other.Exec(ctx, "UPDATE pgcoherence.lease SET token = $1, grant_id = $2::text::uuid", lease.Token(), lease.ID())
	require.NoError(t, err)
	tx, err = other.Begin(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrNotGuarded, "a copy of the very row")
	require.NoError(t, tx.Rollback(ctx))

	empty := pgtest.New(t, nil).Pool(t)
	tx, err = empty.Begin(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, lease.Guard(ctx, tx), lock.ErrSchema)
	require.NoError(t, tx.Rollback(ctx))

	tx, err = sized(t, db.DSN, 1).Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, lease.Guard(ctx, tx), "another pool of the same database")
	require.NoError(t, tx.Rollback(ctx))
}

func TestGuardSQL(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })

	l := make1(t, nil, pool, config("a"))
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		lease, err := l.TryAcquire(ctx, "k")
		require.NoError(t, err)
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		require.NoError(t, err)
		require.NoError(t, lease.GuardSQL(ctx, tx))
		require.NoError(t, lease.Release(ctx), "does not wait for the transaction")
		_, err = l.TryAcquire(ctx, "k")
		require.ErrorIs(t, err, lock.ErrHeld)
		require.NoError(t, tx.Commit())
		next, err := l.TryAcquire(ctx, "k")
		require.NoError(t, err)
		stale, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		require.NoError(t, err)
		_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET token = token + 1") // somebody else has it
		require.NoError(t, err)
		require.ErrorIs(t, next.GuardSQL(ctx, stale), lock.ErrNotGuarded)
		require.NoError(t, stale.Rollback())
		_, err = pool.Exec(ctx, "DELETE FROM pgcoherence.lease")
		require.NoError(t, err)
	}
}

// The holder's own guarded transaction delays neither its heartbeats nor anybody's guard, and its lease goes on.
func TestGuardDoesNotDelayHeartbeat(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			_, pool := setup(t)
			cfg := config("a")
			cfg.Options.TTL = time.Second
			l, _ := start(t, bus.NewLocal(), pool, cfg)
			lease, err := l.TryAcquire(ctx, "k")
			require.NoError(t, err)
			tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.Background()) }()

			require.NoError(t, lease.Guard(ctx, tx))
			outlive(t, pool, l, "k")
			require.NoError(t, lease.Err())
			require.Zero(t, l.Stats().HeartbeatsFailed)
			_, err = l.TryAcquire(ctx, "k")
			require.ErrorIs(t, err, lock.ErrHeld)
			require.NoError(t, tx.Commit(ctx))
			require.NoError(t, lease.Release(ctx))
		})
	}
}
