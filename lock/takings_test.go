package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

// batches counts the statements that take several leases, each by itself, and the leases asked for by them.
type batches struct{ statements, asked atomic.Int64 }

func (b *batches) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "free.place") {
		b.statements.Add(1)
		if keys, ok := q.Args[0].([]string); ok {
			b.asked.Add(int64(len(keys)))
		}
	}
	return ctx
}

func (*batches) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func counted(t testing.TB, dsn string) (*pgxpool.Pool, *batches) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	b := &batches{}
	cfg.ConnConfig.Tracer, cfg.MaxConns = b, 8
	return open(t, cfg), b
}

// makeFree makes keys known and free.
func makeFree(t testing.TB, l *lock.Locker, keys ...string) {
	t.Helper()
	leases, err := l.TryAcquireMany(within(t), keys...)
	require.NoError(t, err)
	for _, lease := range leases {
		require.NoError(t, lease.Release(within(t)))
	}
}

// What is taken at the same time goes together: each gets its own lease or none, by a token of its own; what callers have
// given up meanwhile is undone, and nothing is left.
func TestTakenTogether(t *testing.T) {
	t.Parallel()
	for _, takeover := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint("takeover after ", takeover), func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, plain := setup(t)
			pool, sent := counted(t, db.DSN)
			cfg := config("a")
			cfg.TakeoverAfter = takeover
			l, _ := start(t, nil, pool, cfg)
			const clients = 24
			var keys []string
			for i := range clients {
				keys = append(keys, fmt.Sprint("key ", i))
			}
			makeFree(t, l, append(keys, "hot")...)

			var mu sync.Mutex
			tokens, inside := map[int64]bool{}, map[string]int{}
			granted := func(lease *lock.Lease) error {
				mu.Lock()
				defer mu.Unlock()
				if tokens[lease.Token()] || inside[lease.Key()] > 0 {
					return fmt.Errorf("%s, token %d: twice", lease.Key(), lease.Token())
				}
				tokens[lease.Token()], inside[lease.Key()] = true, 1
				return nil
			}
			var all sync.WaitGroup
			errs := make([]error, clients)
			for i := range clients {
				all.Go(func() {
					for n := 0; errs[i] == nil && (n < 60 || sent.asked.Load() <= sent.statements.Load() && ctx.Err() == nil); n++ {
						key, hurried, cancel := keys[i], ctx, func() {}
						if n%4 == 0 {
							key = "hot"
						}
						if n%5 == 0 {
							hurried, cancel = context.WithTimeout(ctx, rand.N(2*time.Millisecond))
						}
						lease, err := l.TryAcquire(hurried, key)
						cancel()
						switch {
						case err == nil:
							errs[i] = granted(lease)
							mu.Lock()
							inside[key] = 0
							mu.Unlock()
							errs[i] = errors.Join(errs[i], lease.Release(ctx))
						case !errors.Is(err, lock.ErrHeld) && hurried.Err() == nil: // what was just given up may be held for a moment
							errs[i] = err
						}
					}
				})
			}
			all.Wait()
			require.NoError(t, errors.Join(errs...))
			require.Greater(t, sent.asked.Load(), sent.statements.Load())
			eventually(t, func() bool {
				var n int
				err := plain.QueryRow(ctx, `SELECT (SELECT count(*) FROM pgcoherence.lease WHERE expires_at > clock_timestamp() OR next_id IS NOT NULL)
					+ (SELECT count(*) FROM pgcoherence.lease_waiter)`).Scan(&n)
				return err == nil && n == 0 && l.Leaving() == 0
			}, "nothing is left")
			require.Zero(t, l.Stats().Held)
		})
	}
}

// A key whose row is locked delays none of those that are taken together with it.
func TestTakenTogetherBesideALockedRow(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, plain := setup(t)
	pool, sent := counted(t, db.DSN)
	l, _ := start(t, nil, pool, config("a"))
	makeFree(t, l, "locked", "a", "b", "c", "d", "e", "f", "g")
	tx := begin(t, plain)
	_, err := tx.Exec(ctx, "SELECT FROM pgcoherence.lease WHERE key = 'locked' FOR UPDATE")
	require.NoError(t, err)
	var all sync.WaitGroup
	errs := make([]error, 7)
	for i := range errs {
		all.Go(func() {
			for errs[i] == nil && ctx.Err() == nil && sent.asked.Load() < sent.statements.Load()+20 {
				lease, err := l.TryAcquire(ctx, string(rune('a'+i)))
				if errs[i] = err; err == nil {
					errs[i] = lease.Release(ctx)
				}

				_, err = l.TryAcquire(ctx, "locked")
				if !errors.Is(err, lock.ErrHeld) {
					errs[i] = errors.Join(errs[i], fmt.Errorf("locked: %w", err))
				}
			}
		})
	}

	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, ctx.Err())
}
